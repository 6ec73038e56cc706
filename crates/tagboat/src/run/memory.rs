//! Keeps the process small on glibc.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// glibc's setting for how many arenas it may keep; read once, when a process starts.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Starts this program again, in the same process, with one arena for all threads.
///
/// glibc gives each thread an arena of its own and keeps what is freed there. The few threads of a controller hardly
/// ever wait for one another's allocations, and one arena halves what it holds at rest. Whoever sets the variable has
/// decided already; where starting again is not possible, everything goes on as it is.
pub fn use_one_arena() {
    if !cfg!(target_env = "gnu") || std::env::var_os(ARENAS).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_else(|| program.clone().into());
        // It returns only where it failed.
        let _ = Command::new(program).arg0(name).args(arguments).env(ARENAS, "1").exec();
    }
}
