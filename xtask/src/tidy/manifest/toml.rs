//! Reads as much TOML as a Cargo manifest needs, with the line of each entry.
//!
//! A parser from elsewhere would be the only dependency of the development commands.

pub(super) struct Manifest {
    entries: Vec<Entry>,
}

/// One key and its value, with the blanks taken out of the value.
pub(super) struct Entry {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) line: usize,
    /// Whether it says `workspace = true` in any of the ways TOML has for that.
    pub(super) inherits: bool,
}

impl Manifest {
    pub(super) fn parse(text: &str) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut section = String::new();
        let mut in_table_of_last = false;
        let mut open_brackets = 0;
        for (number, line) in text.lines().enumerate() {
            let line: String = without_comment(line).split_whitespace().collect();
            let is_header = open_brackets == 0 && line.starts_with('[');
            if is_header {
                section = line.trim_matches(['[', ']']).to_owned();
                let dependency =
                    section.rsplit_once('.').filter(|(table, _)| table.ends_with("dependencies"));
                in_table_of_last = dependency.is_some();
                if let Some((table, key)) = dependency {
                    entries.push(Entry::new(table, key, "", number + 1));
                }
                continue;
            }
            if open_brackets > 0 || in_table_of_last {
                if let Some(entry) = entries.last_mut() {
                    entry.value.push_str(&line);
                }
            } else if let Some((key, value)) = line.split_once('=') {
                entries.push(Entry::new(&section, key, value, number + 1));
            }
            open_brackets += depth(&line);
        }
        for entry in &mut entries {
            entry.inherits |= entry.value.contains("workspace=true");
        }
        Self { entries }
    }

    pub(super) fn entry(&self, section: &str, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.section == section && entry.key == key)
    }

    /// The entries of every kind of dependency table, those for one platform included.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.section.ends_with("dependencies"))
    }
}

impl Entry {
    fn new(section: &str, key: &str, value: &str, line: usize) -> Self {
        let (key, inherits) = match key.strip_suffix(".workspace") {
            Some(key) => (key, value == "true"),
            None => (key, false),
        };
        Self { section: section.to_owned(), key: key.to_owned(), value: value.to_owned(), line, inherits }
    }
}

fn without_comment(line: &str) -> &str {
    let in_string = |at: usize| line[..at].matches('"').count() % 2 == 1;
    let comment = line.match_indices('#').find(|(at, _)| !in_string(*at));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// How many more brackets the line opens than it closes, not counting those in strings.
fn depth(line: &str) -> i32 {
    let outside_strings = line.split('"').step_by(2);
    outside_strings.flat_map(str::chars).fold(0, |depth, letter| match letter {
        '[' | '{' => depth + 1,
        ']' | '}' => depth - 1,
        _ => depth,
    })
}
