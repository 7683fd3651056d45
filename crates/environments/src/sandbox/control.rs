//! Sockets in the control folder. A socket's address has room for 107 bytes only, so the folder is named by a handle.

use std::{
    fs::File,
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::OpenOptionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
};

fn folder(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

pub fn bind(path: &Path, name: &str) -> io::Result<UnixListener> {
    match std::fs::remove_file(path.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = folder(path)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

/// Does not wait: an executor's socket has room for those who come, or there is no executor.
pub fn connect(path: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = folder(path)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}
