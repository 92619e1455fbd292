//! A server of this run, in a process of its own, and what the kernel knows of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// A clock tick of `/proc`, which Linux has fixed at a hundredth of a second for programs.
const TICK_US: f64 = 10_000.0;

/// A server that ends with this value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts this program again, as a server; it tells its port.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::of(Command::new(this_program()).args(arguments)).await
    }

    /// The same by another program, which runs it.
    pub(crate) async fn start_by(runner: &mut Command, arguments: &[&str]) -> Self {
        Self::of(runner.arg(this_program()).args(arguments)).await
    }

    async fn of(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = lines.next_line().await.expect("a line").expect("the server tells its port");
        let port = line.trim().parse().expect("a port");
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), child }
    }

    /// CPU time spent so far, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        cpu_us(self.pid())
    }

    /// What the kernel calls it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }
}

fn this_program() -> PathBuf {
    std::env::current_exe().expect("this program")
}

/// CPU time that a process has spent so far, in microseconds.
fn cpu_us(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
    // The name may hold spaces; what follows it does not.
    let (_name, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |place: usize| fields[place].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) * TICK_US
}

/// Memory that a process holds, in MiB.
pub(crate) fn memory_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    let kib: f64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib / 1024.0
}
