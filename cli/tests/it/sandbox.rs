//! A machine of its own for every test: no environment, own directories, no network but loopback.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before the test gives up on it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Directories that belong to one test.
pub(crate) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        Self { dir }
    }

    /// The directory that commands run in.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// A file in the directory that commands run in.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// `shoal` with these arguments, words without blanks, on the home of that name.
    pub(crate) fn shoal(&self, home: &str, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("TMPDIR", self.dir.path())
            .env("COLUMNS", "100")
            .env("SHOAL_HOME", self.home(home))
            .env("SHOAL_NO_MDNS", "1")
            .env("SHOAL_LISTEN", "/ip4/127.0.0.1/tcp/0")
            .current_dir(self.work())
            .stdin(Stdio::null())
            .args(args.split_whitespace());
        command
    }

    /// The home of that name.
    pub(crate) fn home(&self, home: &str) -> PathBuf {
        self.dir.path().join(home)
    }

    /// Runs a command to its end.
    #[must_use = "check how it ended"]
    pub(crate) fn run(&self, home: &str, args: &str) -> Ran {
        Ran::from(self.shoal(home, args).output().unwrap())
    }

    /// Starts a command and leaves it running, with `--json`.
    pub(crate) fn spawn(&self, home: &str, args: &str) -> Running {
        let mut command = self.shoal(home, args);
        let mut child = command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines, address: String::new() }
    }

    /// A daemon that is ready, which knows the peer at `peer`.
    pub(crate) fn daemon(&self, home: &str, peer: Option<&Running>) -> Running {
        let args = peer.map_or_else(|| "start".to_owned(), |peer| format!("start --peer {}", peer.address));
        self.daemon_with(home, &args)
    }

    /// A daemon that was started so and is ready.
    pub(crate) fn daemon_with(&self, home: &str, args: &str) -> Running {
        let mut daemon = self.spawn(home, args);
        daemon.wait_until_ready();
        daemon
    }
}

/// Waits for a line on stderr that begins so, and kills the process.
#[track_caller]
pub(crate) fn wait_for_line(mut child: Child, start: &str) -> String {
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.map(Result::unwrap).find(|line| line.starts_with(start));
    child.kill().unwrap();
    child.wait().unwrap();
    found.unwrap_or_else(|| panic!("it ended without a line that begins with {start:?}"))
}

/// A command that has ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The first word of the first line of stdout: the CID that a publish prints.
    pub(crate) fn word(&self) -> String {
        self.stdout.split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// The events that were printed, after checking that there is exactly one `done`, that it is the last, and that it
    /// tells the exit code.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let events: Vec<Value> =
            self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        check_events(&events, self.code);
        events
    }
}

#[track_caller]
pub(crate) fn check_events(events: &[Value], code: Option<i32>) {
    let done: Vec<_> = events.iter().filter(|event| event["event"] == "done").collect();
    assert_eq!(done.len(), 1, "{events:?}");
    let last = events.last().unwrap();
    assert_eq!(last["event"], "done");
    assert_eq!(last["exit"].as_i64(), code.map(i64::from));
    assert_eq!(last["ok"], code == Some(0));
    assert!(events.iter().all(|event| event["v"] == 1));
}

/// A command that runs with `--json`. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// Where a daemon can be reached.
    pub(crate) address: String,
}

impl Running {
    fn wait_until_ready(&mut self) {
        let ready = self.wait_for("ready");
        self.address = ready["addresses"][0].as_str().unwrap().to_owned();
    }

    /// Reads events up to the one of that name.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, name: &str) -> Value {
        self.wait_until(|event| event["event"] == name)
    }

    /// Reads events up to the one that is meant.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, meant: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            let event: Value =
                serde_json::from_str(&line).unwrap_or_else(|_| panic!("ended early: {line:?}"));
            if meant(&event) {
                return event;
            }
            assert_ne!(event["event"], "done", "ended early: {line}");
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end. Gives the events that were not read, and the exit code.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Vec<Value>, Option<i32>) {
        let events =
            self.lines.by_ref().lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        (events, self.status().code())
    }

    fn status(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "it does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Bytes that no other seed gives, and no compression helps with.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// What a directory holds, as sorted `path: content` pairs.
pub(crate) fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}
