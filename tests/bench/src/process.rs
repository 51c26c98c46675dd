//! CPU and memory of a process, as the kernel counts them.

use std::{fs, panic, process::Command};

use serde::Serialize;

/// Ticks a second of `/proc/PID/stat`: the same on every architecture that this is built for.
const USER_HZ: u32 = 100;

/// What a process took so far.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// In user mode and in the kernel.
    pub cpu_seconds: f64,
    /// Resident now.
    pub resident_mib: f64,
    /// Resident at most, so far.
    pub peak_mib: f64,
}

/// Of this process.
pub fn usage(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    };
    Usage { cpu_seconds: cpu_seconds(pid), resident_mib: mib("VmRSS:"), peak_mib: mib("VmHWM:") }
}

/// A release build ends by a panic without dropping anything: operator and simulator would live on.
pub fn end_children_on_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        print(info);
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let children: String =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok()).collect();
        let _ = Command::new("kill").arg("-KILL").args(children.split_whitespace()).status();
    }));
}

/// How many processes have wanted a CPU in the last minute, on average.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // utime and stime are fields 14 and 15; the program's name, field 2, may hold blanks.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>().unwrap());
    f64::from(ticks.sum::<u32>()) / f64::from(USER_HZ)
}
