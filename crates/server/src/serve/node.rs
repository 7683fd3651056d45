//! The id under which this data folder's server takes leases. It is kept, so that a server that starts again lets go of
//! what it held before it died.

use crate::files;
use bailiwick_ports::{Clock, Random};
use bailiwick_types::NodeId;
use std::{io, path::Path};

const FILE: &str = "node";
const MAX_BYTES: u64 = 256;

/// The folder's id, made at the first start. The caller holds the folder's lock.
pub(super) fn id(data: &Path, clock: &dyn Clock, random: &dyn Random) -> io::Result<NodeId> {
    let place = data.join(FILE);
    let text = match files::read_bounded(&place, MAX_BYTES) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    match text.trim().parse() {
        Ok(id) => Ok(id),
        // A file that a crash left empty is no id; leases of the lost one run out by themselves.
        Err(_) => {
            let id = NodeId::new(clock.now(), random.id_bytes());
            files::write_whole(&place, format!("{id}\n").as_bytes(), 0o600)?;
            Ok(id)
        }
    }
}
