//! System calls that nothing in a sandbox needs, and that have opened sandboxes before. It is a second wall: without
//! any capability most of them are refused anyway.

use super::plan::LaunchError;
#[cfg(target_arch = "x86_64")]
use seccompiler::sock_filter;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare, SeccompCondition as Condition,
    SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

const NEW_NAMESPACES: &[i32] = &[
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Sockets of other families are not all held by a network namespace (vsock reaches the machine's host).
const SOCKET_FAMILIES: &[i32] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Puts the filters on the calling thread and all that it starts. Needs `no_new_privs`.
pub fn apply() -> Result<(), LaunchError> {
    let wrong = |error: &dyn std::fmt::Display| LaunchError::new("seccomp filter (seccomp)", error);
    for program in programs().map_err(|error| wrong(&error))? {
        seccompiler::apply_filter(&program).map_err(|error| wrong(&error))?;
    }
    Ok(())
}

fn programs() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let clone = NEW_NAMESPACES.iter().map(|flag| {
        let flag = u64::from(flag.cast_unsigned());
        SeccompRule::new(vec![Condition::new(0, Width::Qword, Compare::MaskedEq(flag), flag)?])
    });
    refused.insert(libc::SYS_clone, clone.collect::<Result<_, _>>()?);
    let family = SOCKET_FAMILIES
        .iter()
        .map(|family| Condition::new(0, Width::Dword, Compare::Ne, u64::from(family.cast_unsigned())));
    refused.insert(libc::SYS_socket, vec![SeccompRule::new(family.collect::<Result<_, _>>()?)?]);
    // Puts input into a terminal that somebody else reads.
    let push = Condition::new(1, Width::Dword, Compare::Eq, libc::TIOCSTI)?;
    refused.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![push])?]);
    // Its flags are out of a filter's sight; the C library falls back to `clone` when it is not there.
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok(vec![
        program(refused, libc::EPERM)?,
        program(absent, libc::ENOSYS)?,
        #[cfg(target_arch = "x86_64")]
        no_x32(),
    ])
}

/// The x32 calls of an x86_64 kernel have the same architecture and numbers of their own (`__X32_SYSCALL_BIT`), by which
/// every call that the other filters refuse by its number could be made. Nothing here uses them.
#[cfg(target_arch = "x86_64")]
fn no_x32() -> BpfProgram {
    const X32_CALLS: u32 = 0x4000_0000;
    // Where `struct seccomp_data` has the call's number.
    const NUMBER: u32 = 0;
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let answer = |k| step(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, NUMBER),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32_CALLS),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned()),
        answer(libc::SECCOMP_RET_ALLOW),
    ]
}

fn program(rules: BTreeMap<i64, Vec<SeccompRule>>, error: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    let refuse = SeccompAction::Errno(error.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}
