//! DAGs out of the store and into it as CAR archives (docs/formats/car.md).
//!
//! Both ways run at the speed of the hash and hold a few batches of blocks, whatever the length of the archive.
//! The rule kept here: an archive is imported whole or not at all, and every block of it is checked first.

mod adopt;
mod export;
mod import;

pub use adopt::{Adopt, Adopted, adopt_car};
pub use export::export_car;
pub(crate) use import::scan;
pub use import::{ImportOptions, Imported, import_car, import_car_of};
