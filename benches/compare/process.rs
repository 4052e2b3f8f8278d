//! What a server's processes use, as `/proc` and their CPU clocks tell.

use std::path::Path;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// A server's first process and everything it forked: some have one or two processes for each session.
pub(crate) struct Family(Vec<Pid>);

impl Family {
    pub(crate) fn of(first: u32) -> Self {
        let first = Pid::from_raw(i32::try_from(first).expect("process id"));
        let running: Vec<(Pid, Pid)> = std::fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|id| Some((Pid::from_raw(id), parent(id)?)))
            .collect();
        let mut family = vec![first];
        let mut next = 0;
        while let Some(&member) = family.get(next) {
            family.extend(running.iter().filter(|(_, parent)| *parent == member).map(|(id, _)| *id));
            next += 1;
        }
        Self(family)
    }

    /// CPU seconds that its living processes have used so far, in user and kernel mode.
    ///
    /// The clocks count nanoseconds and keep what a process's ended threads used; `/proc/PID/stat` counts hundredths
    /// of a second, which a session of a forking server takes for dozens of files. What ended processes used is not
    /// in it, so sessions must live from one reading to the next.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let used = |id: &Pid| clock_getcpuclockid(*id).and_then(nix::time::ClockId::now).ok();
        self.0.iter().filter_map(used).map(|time| std::time::Duration::from(time).as_secs_f64()).sum()
    }

    /// The sum of this line of `/proc/PID/status` in bytes. What processes share counts for each of them.
    pub(crate) fn status(&self, key: &str) -> u64 {
        let of = |id: &Pid| {
            let status = read(id.as_raw(), "status")?;
            let line = status.lines().find(|line| line.starts_with(key))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        self.0.iter().filter_map(of).sum::<u64>() * 1024
    }
}

fn parent(id: i32) -> Option<Pid> {
    // After the name, which may have spaces and brackets in it: state, parent.
    let stat = read(id, "stat")?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok().map(Pid::from_raw)
}

/// `None` for a process that has just ended.
fn read(id: i32, file: &str) -> Option<String> {
    std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join(file)).ok()
}
