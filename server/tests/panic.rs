//! A panic ends the process with one line and a code of its own.

use std::process::Command;

use zoetrope_server::telemetry;

/// Set in the process that is to panic.
const CHILD: &str = "PANIC_IN_THIS_PROCESS";

#[test]
fn a_panic_on_any_thread_ends_the_process_with_70() {
    if std::env::var_os(CHILD).is_some() {
        telemetry::exit_on_panic();
        let _ = std::thread::spawn(|| panic!("the reason")).join();
        unreachable!("the process has ended");
    }
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--nocapture", "a_panic_on_any_thread"]).env(CHILD, "1").env("RUST_BACKTRACE", "0");
    let output = child.output().expect("it starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{err}");
    let lines: Vec<&str> = err.lines().filter(|line| line.starts_with("zoetrope: ")).collect();
    assert_eq!(lines.len(), 1, "{err}");
    for part in ["internal error at ", "panic.rs:", ": the reason. ", "RUST_BACKTRACE=1"] {
        assert!(lines[0].contains(part), "{err}");
    }
}
