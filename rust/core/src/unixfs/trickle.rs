//! The trickle layout of files: leaves near the front are near the root, for readers that stream.
//!
//! A node holds a full set of leaves first, then four subtrees of depth 1, four of depth 2, and so on below its own depth; the
//! root has no such bound. Nodes close from the inside out, so only one path of them is open.

use super::file::close;
use super::{Block, Child, Metadata, Profile};

/// Subtrees of each depth.
const SUBTREES_PER_DEPTH: usize = 4;

#[derive(Debug)]
struct Open {
    children: Vec<Child>,
    /// Its subtrees are less deep than this; none for the root.
    depth_end: Option<usize>,
    /// Depth of the next subtree, and how many of that depth there are.
    depth: usize,
    subtrees: usize,
}

impl Open {
    fn new(depth_end: Option<usize>) -> Self {
        Self { children: Vec::new(), depth_end, depth: 1, subtrees: 0 }
    }

    fn attach(&mut self, subtree: Child) {
        self.children.push(subtree);
        self.subtrees += 1;
        if self.subtrees == SUBTREES_PER_DEPTH {
            self.depth += 1;
            self.subtrees = 0;
        }
    }
}

/// The open path of an unfinished tree.
#[derive(Debug)]
pub(super) struct Trickle {
    links_max: usize,
    root: Open,
    /// Below the root, outermost first.
    path: Vec<Open>,
}

impl Trickle {
    pub fn new(links_max: usize) -> Self {
        Self { links_max: links_max.max(1), root: Open::new(None), path: Vec::new() }
    }

    pub fn push(&mut self, profile: &Profile, leaf: Child, out: &mut Vec<Block>) {
        loop {
            let open = self.path.last_mut().unwrap_or(&mut self.root);
            if open.children.len() < self.links_max {
                open.children.push(leaf);
                return;
            }
            if open.depth_end.is_none_or(|end| open.depth < end) {
                let depth = open.depth;
                self.path.push(Open::new(Some(depth)));
            } else {
                self.close_innermost(profile, out);
            }
        }
    }

    fn close_innermost(&mut self, profile: &Profile, out: &mut Vec<Block>) {
        if let Some(done) = self.path.pop() {
            let subtree = close(profile, &done.children, Metadata::default(), out);
            self.path.last_mut().unwrap_or(&mut self.root).attach(subtree);
        }
    }

    pub fn finish(mut self, profile: &Profile, metadata: Metadata, out: &mut Vec<Block>) -> Child {
        while !self.path.is_empty() {
            self.close_innermost(profile, out);
        }
        // An empty file has no leaf here, not an empty one.
        let children = match self.root.children.as_slice() {
            [Child { file_bytes: 0, .. }] => &[],
            children => children,
        };
        close(profile, children, metadata, out)
    }
}
