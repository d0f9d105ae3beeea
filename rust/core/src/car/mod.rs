//! Content archives: blocks one after another in a stream.
