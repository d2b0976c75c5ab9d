//! O-03: keys that are cut off or that others can read, a disk that is full, one that can only be read. Answered by an error that
//! says so, never by a panic, a new identity in silence, or half a file. Here the victims are the commands.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::{process::Command, time::timeout};

use super::{Attack, Check, Outcome, PLAIN, Scene};

pub(super) const ATTACK: Attack = Attack {
    id: "O-03",
    name: "disks and keys",
    rss_mib: 8,
    only_carrick: Some("it runs `carrick`'s commands"),
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    for &(what, setup, command, wanted) in CASES {
        outcome.tried += 1;
        let (code, said) = play(&scene, setup, command).await?;
        let panicked = code == 101 || code > 128 || said.contains("panicked");
        let holds = !panicked && (code == 0) == (wanted.is_empty()) && said.contains(wanted);
        outcome.refused += u64::from(code != 0);
        let first = said
            .lines()
            .find(|line| line.contains("error"))
            .unwrap_or_default();
        let text = format!("{what}: code {code} {}", first.trim());
        outcome.checks.push(Check::new(holds, text));
    }
    Ok(outcome)
}

/// What it is, what is done to the disk at `$D` before, the command, and a word that its error must have; none if it must go
/// well. What the command must not have left behind is looked for in the command itself.
const CASES: &[(&str, &str, &str, &str)] = &[
    (
        "a good key",
        KEY,
        "timeout --preserve-status -s TERM 2 $C listen /ip4/127.0.0.1/tcp/0 --key $D/k",
        "",
    ),
    (
        "a key cut off",
        "$C key generate $D/k >/dev/null; truncate -s 20 $D/k",
        LISTEN,
        "error",
    ),
    (
        "an empty key",
        "touch $D/k; chmod 600 $D/k",
        LISTEN,
        "error",
    ),
    (
        "a key of zeros",
        "head -c 68 /dev/zero > $D/k; chmod 600 $D/k",
        LISTEN,
        "error",
    ),
    (
        "a key of 1 GB",
        "truncate -s 1G $D/k; chmod 600 $D/k",
        LISTEN,
        "error",
    ),
    (
        "a key that others can read",
        "$C key generate $D/k >/dev/null; chmod 644 $D/k",
        LISTEN,
        "600",
    ),
    ("a key that is a directory", "mkdir $D/k", LISTEN, "error"),
    (
        "a new key on a full disk",
        FULL,
        "$C key generate $D/k",
        "error",
    ),
    (
        "half a key on a full disk",
        FULL,
        "$C key generate $D/k; c=$?; test -s $D/k && exit 0; exit $c",
        "error",
    ),
    (
        "a new key on a read-only disk",
        "mount -o remount,ro $D",
        "$C key generate $D/k",
        "error",
    ),
    ("a key over a key", KEY, "$C key generate $D/k", "error"),
    (
        "a store on a full disk",
        FULL,
        "timeout -s TERM 3 $C listen /ip4/127.0.0.1/tcp/0 --store $D/s",
        "error",
    ),
    (
        "a store on a read-only disk",
        "mount -o remount,ro $D",
        "timeout -s TERM 3 $C listen /ip4/127.0.0.1/tcp/0 --store $D/s",
        "error",
    ),
    (
        "a daemon on a full disk",
        FULL,
        "timeout -s TERM 3 $C daemon /ip4/127.0.0.1/tcp/0 --socket $D/c.sock --http 0",
        "error",
    ),
    (
        "a daemon on a read-only disk",
        "mount -o remount,ro $D",
        "timeout -s TERM 3 $C daemon /ip4/127.0.0.1/tcp/0 --socket $D/c.sock",
        "error",
    ),
];

const FULL: &str = "head -c 1M /dev/zero > $D/filler";
const KEY: &str = "$C key generate $D/k >/dev/null";
const LISTEN: &str = "timeout -s TERM 3 $C listen /ip4/127.0.0.1/tcp/0 --key $D/k";

/// Runs it with a disk of its own that is seen by nobody else; its exit code, and what it wrote to stderr.
async fn play(scene: &Scene, setup: &str, command: &str) -> io::Result<(i32, String)> {
    let disk = scene.scratch.join("disk");
    std::fs::create_dir_all(&disk)?;
    let script = format!(
        "mount -t tmpfs -o size=256k,mode=700 tmpfs $D && {{ {setup} ; }} 2>/dev/null; {command}"
    );
    let name = |path: &Path| path.display().to_string();
    let output = Command::new("unshare")
        .args(["--mount", "timeout", "20", "sh", "-c", &script])
        .env("D", name(&disk))
        .env("C", name(&scene.carrick))
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(30), output).await;
    let output = output.map_err(|_| io::ErrorKind::TimedOut)??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code().unwrap_or(255), said))
}
