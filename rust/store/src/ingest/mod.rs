//! Adding: files and streams become blocks in the store, as fast as the machine reads them.
//!
//! One thread walks the sources ([`source`]), workers read, cut, hash and put ([`work`]), and the calling thread
//! puts results back in order and builds directories ([`assemble`]). Every queue between them is bounded, so memory
//! follows neither the size of a file nor the number of files. Nothing is acknowledged, and nothing kept, unless all of it was.

mod assemble;
mod baton;
mod blob;
mod ignore;
mod job;
mod place;
mod source;
mod stream;
mod work;

pub use ignore::IgnoreRules;

use crate::error::{Error, Result};
use crate::group_list::GroupList;
use crate::meta::{Pin, PinKind};
use crate::operation::Operation;
use crate::quota;
use crate::session::{PutCount, Session};
use crate::store::Store;
use assemble::Assembler;
use job::Queue;
use shoal_core::Cid;
use shoal_core::unixfs::profile::Layout;
use shoal_core::unixfs::{Metadata, Profile};
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

/// How to add. `AddOptions::default()` is what `shoal add` does without flags.
#[derive(Debug, Clone)]
pub struct AddOptions {
    /// The rules that decide the CID.
    pub profile: Profile,
    /// Compute CIDs, store nothing.
    pub only_hash: bool,
    /// Leave the files where they are, and keep only what says where in them each leaf is.
    pub nocopy: bool,
    /// Put all sources into one directory above them.
    pub wrap: bool,
    /// Pin the roots, recursively.
    pub pin: bool,
    /// Name of those pins.
    pub pin_name: Option<String>,
    /// Include entries whose name begins with a dot. Sources named themselves are always included.
    pub hidden: bool,
    /// What to leave out.
    pub ignore: IgnoreRules,
    /// Add what symbolic links point to, not the links.
    pub dereference_symlinks: bool,
    /// Include directories that hold nothing.
    pub empty_directories: bool,
    /// Keep permission bits.
    pub preserve_mode: bool,
    /// Keep modification times.
    pub preserve_mtime: bool,
    /// Permission bits for everything, instead of the files' own.
    pub mode: Option<u32>,
    /// Modification time for everything, instead of the files' own: seconds since 1970, nanoseconds.
    pub mtime: Option<(i64, u32)>,
    /// Worker threads; 0 for one a core (or `SHOAL_THREADS`).
    pub threads: usize,
    /// How many bytes a stream will give, where that is known: under a quota, room is made for so many.
    pub stream_bytes: Option<u64>,
}

impl Default for AddOptions {
    fn default() -> Self {
        Self {
            profile: Profile::blake3(),
            only_hash: false,
            nocopy: false,
            wrap: false,
            pin: true,
            pin_name: None,
            hidden: false,
            ignore: IgnoreRules::default(),
            dereference_symlinks: false,
            empty_directories: true,
            preserve_mode: false,
            preserve_mtime: false,
            mode: None,
            mtime: None,
            threads: 0,
            stream_bytes: None,
        }
    }
}

/// What an added name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Content.
    File,
    /// Names.
    Directory,
    /// A path, not followed.
    Symlink,
}

/// One file, directory or link that has its CID now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its root.
    pub cid: Cid,
    /// Its path, beginning with the name of the source it belongs to. Empty for a wrapping directory.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
    /// Content bytes in and below it.
    pub bytes: u64,
    /// Size of its DAG, blocks used twice counted twice.
    pub dag_bytes: u64,
    /// Files in and below it.
    pub files: u64,
}

/// The outcome of one add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddReport {
    /// One per source, or one for the wrapping directory.
    pub roots: Vec<Added>,
    /// Blocks that were not in the store before.
    pub new_blocks: u64,
    /// Their bytes.
    pub new_bytes: u64,
}

/// Called with every entry when it is finished: children before their directory, in the order of their names.
pub type OnEntry<'a> = dyn FnMut(&Added) -> Result<()> + Send + 'a;

/// Where blocks go.
enum Sink {
    Store {
        session: Session,
        new_blocks: AtomicU64,
        new_bytes: AtomicU64,
        /// Whether leaves are left where they are.
        is_referring: bool,
    },
    HashOnly,
}

impl Sink {
    fn new(store: &Store, options: &AddOptions) -> Result<Self> {
        if options.only_hash {
            return Ok(Self::HashOnly);
        }
        let (session, new_blocks, new_bytes) = (store.write()?, AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self::Store { session, new_blocks, new_bytes, is_referring: options.nocopy })
    }

    fn is_referring(&self) -> bool {
        matches!(self, Self::Store { is_referring: true, .. })
    }

    /// Puts leaves, or leaves them where they are. Nothing is not left anywhere.
    fn put_leaves(&self, blocks: &[(&Cid, &[u8])]) -> Result<()> {
        if !self.is_referring() {
            return self.put_many(blocks);
        }
        let empty: Vec<_> = blocks.iter().copied().filter(|(_, block)| block.is_empty()).collect();
        self.put_many(&empty)
    }

    /// Keeps the values of blocks that are put next.
    fn note_lists(&self, lists: Vec<Arc<GroupList>>) {
        if let Self::Store { session, .. } = self
            && !lists.is_empty()
        {
            session.note_lists(lists);
        }
    }

    fn put_many(&self, blocks: &[(&Cid, &[u8])]) -> Result<()> {
        if let Self::Store { session, new_blocks, new_bytes, .. } = self
            && !blocks.is_empty()
        {
            let PutCount { new_blocks: n, new_bytes: bytes } = session.put_many(blocks)?;
            new_blocks.fetch_add(n, Ordering::Relaxed);
            new_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Pins the roots and makes everything durable.
    fn finish(self, store: &Store, roots: Vec<Added>, options: &AddOptions) -> Result<AddReport> {
        match self {
            Self::HashOnly => Ok(AddReport { roots, new_blocks: 0, new_bytes: 0 }),
            Self::Store { session, new_blocks, new_bytes, .. } => {
                if options.pin {
                    for root in &roots {
                        // What was added before under a name keeps it.
                        let old_name = || store.pin(&root.cid).map(|pin| pin.and_then(|pin| pin.name));
                        let name = options.pin_name.clone().map_or_else(old_name, |name| Ok(Some(name)))?;
                        session.pin(Pin { cid: root.cid.clone(), kind: PinKind::Recursive, name })?;
                    }
                } else {
                    roots.iter().try_for_each(|root| session.used_now(&root.cid))?;
                }
                session.commit()?;
                Ok(AddReport { roots, new_blocks: new_blocks.into_inner(), new_bytes: new_bytes.into_inner() })
            }
        }
    }
}

/// How many worker threads to use when the caller does not say: `SHOAL_THREADS`, or one a core, at most 32.
#[must_use]
pub fn default_threads() -> usize {
    let asked = std::env::var("SHOAL_THREADS").ok().and_then(|text| text.parse().ok()).filter(|&n| n > 0);
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    asked.unwrap_or_else(cores).min(32)
}

/// Adds files and directories. Commits before it returns; on any error nothing was added.
pub fn add(
    store: &Store,
    sources: &[PathBuf],
    options: &AddOptions,
    operation: &Operation,
    on_entry: &mut OnEntry<'_>,
) -> Result<AddReport> {
    place::check(options)?;
    if options.nocopy && !options.only_hash {
        quota::make_room_for_stream(store, None, operation)?;
    } else if !options.only_hash {
        quota::make_room_for(store, sources, operation)?;
    }
    run(store, options, operation, on_entry, options.wrap, |queue, _, sender| source::walk(sources, options, operation, queue, &sender))
}

/// Adds what `input` yields until its end, as one file called `name`. Commits before it returns.
pub fn add_stream(
    store: &Store,
    input: &mut (dyn Read + Send),
    name: OsString,
    options: &AddOptions,
    operation: &Operation,
    on_entry: &mut OnEntry<'_>,
) -> Result<AddReport> {
    if options.nocopy {
        let text = "what comes through a pipe or out of memory has no place where it could be left: add it without nocopy";
        return Err(Error::Options(text.to_owned()));
    }
    let metadata = Metadata { mode: options.mode, mtime: options.mtime };
    if !options.only_hash {
        quota::make_room_for_stream(store, options.stream_bytes, operation)?;
    }
    run(store, options, operation, on_entry, options.wrap, |queue, sink, sender| {
        if options.profile.layout == Layout::Blob {
            let message = blob::stream(0, name.into_vec(), input, Error::Stream, sink, operation)?;
            return sender.send(message).map_err(|_| Error::Cancelled);
        }
        stream::feed(input, name, metadata, &options.profile, operation, queue, &sender)
    })
}

/// Starts the workers and the producer, assembles on the calling thread, and commits.
fn run<P>(
    store: &Store,
    options: &AddOptions,
    operation: &Operation,
    on_entry: &mut OnEntry<'_>,
    wrap: bool,
    produce: P,
) -> Result<AddReport>
where
    P: FnOnce(&Queue, &Sink, mpsc::Sender<job::Message>) -> Result<()> + Send,
{
    options.profile.check()?;
    let keeps = options.preserve_mode || options.preserve_mtime || options.mode.is_some() || options.mtime.is_some();
    if keeps && options.profile.layout == Layout::Blob {
        let text = "a blob is nothing but its bytes, and has no place for a mode or a time; add without them, or with the layout balanced";
        return Err(Error::Options(text.to_owned()));
    }
    let threads = if options.threads == 0 { default_threads() } else { options.threads };
    let sink = Sink::new(store, options)?;
    let queue = Queue::new(threads * 4);
    let (sender, receiver) = mpsc::channel();
    let roots = std::thread::scope(|scope| {
        // Whatever happens on this thread, the others are told to stop.
        let _stop = queue.stop_on_drop();
        for _ in 0..threads {
            let (sender, queue, sink) = (sender.clone(), &queue, &sink);
            scope.spawn(move || work::run(options, operation, queue, sink, &sender));
        }
        let (producer_sender, producer_queue, producer_sink) = (sender, &queue, &sink);
        scope.spawn(move || {
            let _close = producer_queue.close_on_drop();
            let failures = producer_sender.clone();
            if let Err(error) = produce(producer_queue, producer_sink, producer_sender) {
                // The receiver is gone only when it failed itself.
                let _ = failures.send(job::Message::Failed(error));
            }
        });
        Assembler::new(options, &sink, &queue, on_entry, wrap).run(receiver)
    })?;
    operation.check()?;
    sink.finish(store, roots, options)
}
