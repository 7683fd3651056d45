//! The system calls that have no safe wrapper.
#![allow(unsafe_code)]

use rustix::{io::Errno, thread::UnshareFlags};
use std::{ffi::CStr, mem::size_of};

/// Leaves namespaces. The caller has one thread.
pub fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // Threads that share a table of files are what makes this unsafe; it stays shared.
    if flags.contains(UnshareFlags::FILES) {
        return Err(Errno::INVAL);
    }
    // SAFETY: the flag that the function's contract is about is not among them.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// What a mount, and with `recursive` all mounts below it, shall no longer allow. Never takes a restriction off.
#[derive(Debug, Clone, Copy, Default)]
pub struct Restrict {
    pub read_only: bool,
    pub no_exec: bool,
    pub recursive: bool,
}

/// Restricts a mount; set-user-id programs and devices are always off. Needs Linux 5.12.
pub fn restrict(path: &CStr, restrict: Restrict) -> rustix::io::Result<()> {
    let mut attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    if restrict.read_only {
        attributes |= libc::MOUNT_ATTR_RDONLY;
    }
    if restrict.no_exec {
        attributes |= libc::MOUNT_ATTR_NOEXEC;
    }
    let request = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = if restrict.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `path` is a C string and `request` a `mount_attr` of the size that is named; both outlive the call, which
    // only reads them.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const request,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(Errno::from_raw_os_error(error))
}

/// Closes everything but standard input, output and error. Only for a process that has just begun and has opened
/// nothing itself: what it closes was left open by whoever started it.
pub fn close_inherited() -> rustix::io::Result<()> {
    // SAFETY: the caller owns no file descriptor above 2, so none is closed under its owner.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if answer == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(Errno::from_raw_os_error(error))
}
