//! The path of the administration socket. A socket's address holds 107 bytes; a longer path is reached through its
//! open folder.

use rustix::fd::{AsRawFd as _, OwnedFd};
use std::{
    io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

pub const SOCKET_NAME: &str = "admin.sock";
/// `sun_path` less its closing zero.
const MAX_ADDRESS: usize = 107;

/// Where to bind or connect.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl SocketPath {
    /// The address of the socket in this data folder, whether it is there or not.
    pub fn new(data: &Path) -> io::Result<Self> {
        let path = data.join(SOCKET_NAME);
        if path.as_os_str().len() <= MAX_ADDRESS {
            return Ok(Self { path, _folder: None });
        }
        use rustix::fs::{Mode, OFlags};
        let folder = rustix::fs::open(data, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET_NAME}", folder.as_raw_fd()));
        Ok(Self { path, _folder: Some(folder) })
    }

    /// The socket of a server; says why there is none.
    pub fn find(data: &Path) -> Result<Self, String> {
        match data.join(SOCKET_NAME).metadata() {
            Ok(facts) if facts.file_type().is_socket() => Self::new(data).map_err(|error| error.to_string()),
            Ok(_) => Err(format!("`{SOCKET_NAME}` in it is not a socket")),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !data.exists() => {
                Err("there is no such folder".into())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("there is no `{SOCKET_NAME}` in it")),
            Err(error) => Err(error.to_string()),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests")]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_long_path_works_too() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("d".repeat(120));
        std::fs::create_dir(&data).unwrap();
        assert!(SocketPath::find(&data).unwrap_err().contains("there is no `admin.sock`"));
        let _listener = UnixListener::bind(SocketPath::new(&data).unwrap().path()).unwrap();
        assert!(data.join(SOCKET_NAME).exists());
        UnixStream::connect(SocketPath::find(&data).unwrap().path()).unwrap();
    }
}
