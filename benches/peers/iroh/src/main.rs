//! Imports files into an iroh-blobs store on disk, one after another, and prints the seconds of each: what Shoal is compared with.
//!
//! Usage: shoal-bench-iroh STORE FILE…  The time is taken inside, without the start of the process and of the store. The import is
//! what `add_path` does: a copy, the outboard, the database; awaited to its end.

use iroh_blobs::store::fs::FsStore;
use std::path::Path;
use std::time::Instant;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: shoal-bench-iroh STORE FILE…")?;
    let store = FsStore::load(Path::new(&folder)).await?;
    for file in arguments {
        let path = std::path::absolute(&file)?;
        let start = Instant::now();
        let tag = store.blobs().add_path(&path).await?;
        println!("{:.6} {}", start.elapsed().as_secs_f64(), tag.hash);
    }
    store.shutdown().await?;
    Ok(())
}
