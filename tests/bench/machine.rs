//! What the machine is asked: whose core is whose, and what a process has cost.

use std::{io, path::Path, process::Stdio, sync::LazyLock, thread, time::Duration};

use local::function::Function;
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};
use tokio::{process::Command, runtime::Handle};

/// Where valgrind is, if it is there.
pub static VALGRIND: LazyLock<Option<&'static str>> = LazyLock::new(|| {
    ["/usr/bin/valgrind", "/usr/local/bin/valgrind"].into_iter().find(|path| Path::new(path).exists())
});

/// Bytes of a MiB.
pub const MIB: f64 = 1024.0 * 1024.0;

/// The core that is the function's alone, where there are two or more.
#[derive(Clone, Copy)]
pub struct Machine {
    core: Option<usize>,
}

impl Machine {
    /// Leaves the last core to the function. It has to be called before there is any other thread.
    pub fn divide() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let core = (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core)).filter(|_| all.count() > 1);
        if let Some(core) = core {
            let mut others = all;
            others.unset(core);
            sched_setaffinity(None, &others)?;
        }
        Ok(Self { core })
    }

    /// Says how the cores are divided.
    pub fn told(self) -> String {
        match self.core {
            Some(core) => format!("the function has core {core} of this machine, all else the others"),
            None => "one core for the function and all else: times say little".to_owned(),
        }
    }

    /// Starts the function on its core.
    pub fn start(self, command: Command, settings: &[(&str, &str)]) -> io::Result<Function> {
        let runtime = Handle::current();
        let start = || {
            if let Some(core) = self.core {
                let mut alone = CpuSet::new();
                alone.set(core);
                // A process inherits it from the thread that starts it.
                sched_setaffinity(None, &alone)?;
            }
            runtime.block_on(Function::start_command(command, settings))
        };
        let started = thread::scope(|scope| scope.spawn(start).join());
        started.unwrap_or_else(|_| Err(io::Error::other("the function was not started")))
    }
}

/// Time on a core that the threads of a process have had so far; of those that run at this moment, up to a tick ago.
pub fn cpu(process: u32) -> io::Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// The same once the process has come to rest.
pub async fn cpu_at_rest(process: u32) -> io::Result<Duration> {
    let (mut before, mut same) = (cpu(process)?, 0);
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let now = cpu(process)?;
        same = if now == before { same + 1 } else { 0 };
        // Longer than a tick.
        if same == 6 {
            return Ok(now);
        }
        before = now;
    }
    Err(io::Error::other("the function does not come to rest"))
}

/// Time on a core that this process has had so far.
pub fn own_cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

/// Memory in bytes, by its name in `/proc`: `VmHWM` is the most there ever was, `VmRSS` what there is.
pub fn memory(process: u32, name: &str) -> io::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes: Option<f64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    Ok(kilobytes.ok_or_else(|| io::Error::other(format!("no {name} in its status")))? * 1024.0)
}

/// How many processes want a core now.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// A program under callgrind.
pub fn callgrind(valgrind: &str, program: &Path) -> Command {
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).stdin(Stdio::null());
    command
}

/// Ends a process under callgrind so that it tells its instructions.
pub fn terminate(process: u32) -> io::Result<()> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    Ok(kill_process(process.ok_or_else(|| io::Error::other("it has ended"))?, Signal::TERM)?)
}

/// The instructions that callgrind tells of.
pub fn instructions(output: &str) -> io::Result<f64> {
    let count = output.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.ok_or_else(|| io::Error::other(format!("callgrind has not told of instructions:\n{output}")))
}
