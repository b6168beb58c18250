/* What a child that decodes gives up. Called in the child, with every file closed that it does not need. */
#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>

#include "sandbox.h"

/* The sanitizers' runtimes map terabytes and call what they like. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

#if defined(__linux__) && !defined(HAS_SANITIZER)
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Numbers mean something only together with the architecture whose they are; all of these are little-endian. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define ARCHITECTURE AUDIT_ARCH_I386
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__arm__) && defined(__ARMEL__)
#define ARCHITECTURE AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#endif
#endif

#ifdef ARCHITECTURE
#ifndef SECCOMP_RET_KILL_PROCESS /* Linux 4.14; before, it killed the thread, and the child has one */
#define SECCOMP_RET_KILL_PROCESS SECCOMP_RET_KILL
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), RETURN(SECCOMP_RET_ALLOW)
/* Refused like a forbidden file and not deadly: what a C library tries beside (reading how memory is overcommitted,
 * say) must not end a decode that is fine without. */
#define REFUSE RETURN(SECCOMP_RET_ERRNO | EPERM)

/* Looks at the low half of an argument (the flags of these calls have no more) and skips so many statements where a bit
 * of `mask` is set, or none is. */
#define TEST_BITS(index, mask, set_steps, clear_steps)                                                                 \
    LOAD(args[index]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, mask, set_steps, clear_steps)

/* Memory of one's own that cannot be executed: mmap(address, length, protection, flags, ...). */
#define ALLOW_MAP(number)                                                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 6), TEST_BITS(2, PROT_EXEC, 3, 0),                                  \
        TEST_BITS(3, MAP_ANONYMOUS, 0, 1), RETURN(SECCOMP_RET_ALLOW), REFUSE

#define ALLOW_PROTECT(number)                                                                                          \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4), TEST_BITS(2, PROT_EXEC, 1, 0), RETURN(SECCOMP_RET_ALLOW), REFUSE

static bool filter_calls(void) {
    struct sock_filter program[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        ALLOW(SYS_read),
        ALLOW(SYS_write),
        ALLOW(SYS_brk),
        ALLOW(SYS_munmap),
        ALLOW(SYS_mremap),
        ALLOW(SYS_madvise),
        ALLOW(SYS_futex),
        ALLOW(SYS_getrandom),
        ALLOW(SYS_exit),
        ALLOW(SYS_exit_group),
        ALLOW(SYS_rt_sigreturn),
        ALLOW(SYS_restart_syscall),
#ifdef SYS_mmap2
        ALLOW_MAP(SYS_mmap2),
#else
        ALLOW_MAP(SYS_mmap),
#endif
        ALLOW_PROTECT(SYS_mprotect),
        REFUSE,
    };
    const struct sock_fprog filter = {.len = sizeof(program) / sizeof(program[0]), .filter = program};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}
#endif

static bool limit(int what, uint64_t value) {
    struct rlimit now;
    if (getrlimit(what, &now) != 0)
        return false;
    if (now.rlim_max == RLIM_INFINITY || now.rlim_max > value)
        now.rlim_cur = now.rlim_max = (rlim_t)value;
    return setrlimit(what, &now) == 0;
}

bool sandbox_restrict(uint64_t memory, bool *filtered) {
    *filtered = false;
    /* The descriptors that are open stay so; a new one would have a number beyond the limit. */
    bool good = limit(RLIMIT_NOFILE, 0) && limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_CORE, 0);
#ifdef RLIMIT_NPROC
    good = good && limit(RLIMIT_NPROC, 0);
#endif
#ifndef HAS_SANITIZER
    if (memory <= SIZE_MAX)
        good = good && limit(RLIMIT_AS, memory);
#endif
#ifdef ARCHITECTURE
    /* Without the first, only root may filter; and nothing that is executed gains rights. */
    *filtered = good && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && filter_calls();
#else
    (void)memory;
#endif
    return good;
}
