//! The verifiable log: JSON lines, each bound to the one before it by its hash and to its own bytes by a checksum; one
//! writer, recovery after a crash, and a verifier that needs nothing but the file.

mod batch;
mod disk;
mod error;
mod json;
mod leaf;
mod line;
mod mark;
mod origin;
mod paths;
mod payload;
mod quarantine;
mod reader;
mod recovery;
mod scan;
mod verify;
mod writer;

pub use batch::{Batch, Place};
pub use disk::LogFile;
pub use error::{AppendError, OpenError, ReadError};
pub use leaf::LeafHash;
pub use line::{Body, Entry, LINE_BYTES_MAX, LINE_FRAME_BYTES_MAX, Line, LineError, LineFault};
pub use mark::{Mark, MarkState};
pub use origin::{Origin, OriginError};
pub use paths::LogPaths;
pub use payload::{PAYLOAD_DEPTH_MAX, Payload, PayloadError};
pub use quarantine::{Quarantined, quarantined_files};
pub use reader::LogReader;
pub use recovery::RecoveryReport;
pub use scan::{Head, Scanned};
pub use verify::{FirstBad, VerifyReport, verify_file};
pub use writer::{LogWriter, Opened, Pending};
