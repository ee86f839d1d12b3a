//! Keeps the process small: the one place with unsafe code.
//!
//! glibc gives each thread an arena of its own and hands every buffer above 128 KiB back to the
//! system as soon as it is free. For a few threads that pass fragments of a megabyte around, one
//! arena and higher thresholds save half of the time spent on a fragment; what is kept that way
//! is given back as a whole once the work is over.
#![allow(unsafe_code)]

/// Tells the allocator how this program uses memory. Does nothing where there is no glibc.
pub(crate) fn keep_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets parameters, and no other thread exists yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 4 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 4 << 20);
    }
}

/// Gives free memory back to the system.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim may be called at any time from any thread; it takes the arena's lock.
    unsafe {
        libc::malloc_trim(0);
    }
}
