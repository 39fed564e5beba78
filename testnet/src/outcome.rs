//! The files that results go to.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use anyhow::{Context, Result};

/// Makes sure that `file` can be written, and leaves it as it is: to be told so before hours of measuring, not after.
///
/// # Errors
///
/// It cannot be.
pub(crate) fn will_take(file: &Path) -> Result<()> {
    let is_new = !file.exists();
    let opened = OpenOptions::new().append(true).create(true).open(file);
    opened.with_context(|| format!("writing {}", file.display()))?;
    if is_new {
        fs::remove_file(file)?;
    }
    Ok(())
}
