//! Which symbolic links may be made: those that stay below the target.

use std::collections::HashSet;

/// A link to make once everything else is there.
pub(super) struct Link {
    /// Names from the root of the export to the folder that holds it.
    pub folder: Vec<Vec<u8>>,
    pub name: Vec<u8>,
    pub target: Vec<u8>,
}

/// Why a link would lead out of the export. None: it stays inside.
///
/// Every folder of the export is a real one made by us, so `..` at the front of a target really climbs, and may climb no
/// higher than the root. A `..` further on may follow another link somewhere else, so it is allowed only where no part
/// before it is a link of the export.
pub(super) fn escape(link: &Link, links: &HashSet<Vec<Vec<u8>>>) -> Option<&'static str> {
    if link.target.is_empty() {
        return Some("a link to nothing");
    }
    if link.target.contains(&0) {
        return Some("a link whose target holds a NUL byte");
    }
    if link.target.starts_with(b"/") {
        return Some("a link to an absolute path");
    }
    let mut at = link.folder.clone();
    for part in link.target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if (1..=at.len()).any(|n| at.get(..n).is_some_and(|path| links.contains(path))) {
                    return Some("a link that climbs from behind another link");
                }
                if at.pop().is_none() {
                    return Some("a link that leads out of the target");
                }
            }
            name => at.push(name.to_vec()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(folder: &[&str], target: &str, links: &[&[&str]]) -> Option<&'static str> {
        let names = |parts: &[&str]| parts.iter().map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>();
        let link = Link { folder: names(folder), name: b"link".to_vec(), target: target.as_bytes().to_vec() };
        escape(&link, &links.iter().map(|path| names(path)).collect())
    }

    #[test]
    fn links_inside_are_allowed() {
        assert_eq!(judge(&["a", "b"], "../c", &[]), None);
        assert_eq!(judge(&["a", "b"], "../../c", &[]), None);
        assert_eq!(judge(&[], "x/../y", &[]), None);
        assert_eq!(judge(&["a"], ".", &[]), None);
        assert_eq!(judge(&["a"], "no/such/file", &[]), None);
    }

    #[test]
    fn links_outside_are_refused() {
        assert!(judge(&[], "..", &[]).is_some());
        assert!(judge(&["a", "b"], "../../../c", &[]).is_some());
        assert!(judge(&["a"], "/etc/passwd", &[]).is_some());
        assert!(judge(&["a"], "b/../../../c", &[]).is_some());
        assert!(judge(&[], "", &[]).is_some());
        assert!(judge(&[], "a\0b", &[]).is_some());
    }

    #[test]
    fn climbing_from_behind_a_link_is_refused() {
        // `d` may be a link to `.`, where `d/d/..` is outside though it reads as inside.
        assert!(judge(&[], "d/d/..", &[&["d"]]).is_some());
        assert!(judge(&[], "d/..", &[&["d"]]).is_some());
        assert_eq!(judge(&[], "d/x", &[&["d"]]), None);
    }
}
