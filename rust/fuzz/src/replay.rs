//! The committed corpus, run once through its check: what ordinary tests do.

use std::path::Path;

/// A check by the name of its target and of its corpus' folder.
pub type Target = (&'static str, fn(&[u8]));

/// Runs every file of every target's corpus, and the empty input. A target without a corpus is an error, and so is a corpus
/// that has no file: what a check fails on is named.
#[expect(clippy::disallowed_methods, reason = "reads the corpus for core's decoders, which read nothing themselves")]
pub fn replay(corpus: &Path, targets: &[Target]) {
    for (name, check) in targets {
        check(b"");
        let mut inputs: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "target {name} has no corpus");
        for path in inputs {
            let input = std::fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| check(&input));
            assert!(outcome.is_ok(), "target {name} fails on {}", path.display());
        }
    }
}
