//! What to leave out of a directory, in the language of `.gitignore`.

use crate::error::{Error, Result};
use ::ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::path::{Path, PathBuf};

/// Rules as the user gave them. Later rules win; files are read after the patterns.
#[derive(Debug, Clone, Default)]
pub struct IgnoreRules {
    /// Patterns in gitignore syntax (`*.pyc`, `/build/`, `!keep.me`).
    pub patterns: Vec<String>,
    /// Files of such patterns.
    pub files: Vec<PathBuf>,
}

impl IgnoreRules {
    /// Whether a walk that begins at `root` would leave out `path`, which is below it. An error where a rule is none.
    pub fn leaves_out(&self, root: &Path, path: &Path, is_directory: bool) -> Result<bool> {
        Ok(self.compile(root)?.leaves_out(path, is_directory))
    }

    /// The rules for a walk that begins at `root`.
    pub(super) fn compile(&self, root: &Path) -> Result<Matcher> {
        if self.patterns.is_empty() && self.files.is_empty() {
            return Ok(Matcher(None));
        }
        let mut builder = GitignoreBuilder::new(root);
        for pattern in &self.patterns {
            builder.add_line(None, pattern).map_err(|e| Error::IgnoreRule(e.to_string()))?;
        }
        for file in &self.files {
            if let Some(error) = builder.add(file) {
                return Err(Error::IgnoreRule(error.to_string()));
            }
        }
        Ok(Matcher(Some(builder.build().map_err(|e| Error::IgnoreRule(e.to_string()))?)))
    }
}

/// Compiled rules.
pub(super) struct Matcher(Option<Gitignore>);

impl Matcher {
    /// Is this path, which the walk has come to, to be left out?
    pub fn leaves_out(&self, path: &Path, is_directory: bool) -> bool {
        self.0.as_ref().is_some_and(|rules| rules.matched(path, is_directory).is_ignore())
    }
}
