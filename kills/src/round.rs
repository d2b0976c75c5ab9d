//! One life of a victim, with or without a violent end.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use carrick::{Keypair, Multiaddr, steps::Step};
use futures::future::join_all;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{
    deed::text,
    survivor::Survivor,
    table::{Road, Side},
    victim,
};

/// Where victims live, and beside whom.
pub(crate) struct Stage {
    pub(crate) survivor: Survivor,
    side: Side,
    road: Road,
    homes: Vec<PathBuf>,
}

/// How a victim is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) step: Step,
    pub(crate) passage: u32,
    pub(crate) freeze: bool,
}

/// What became of it, and how long it took until all was done, if that was reached.
pub(crate) type Life = (End, Option<Duration>);

/// What became of it.
#[derive(Debug)]
pub(crate) enum End {
    /// It has done all, and closed itself: the step was not passed so often.
    Orderly,
    Killed,
    /// It hangs there, until this is dropped.
    Frozen(Child),
}

impl Stage {
    /// Makes the survivor and homes for so many victims, and lets each live once.
    pub(crate) async fn set(
        homes: Vec<PathBuf>,
        side: Side,
        road: Road,
        config: carrick::Config,
    ) -> Result<Self, String> {
        for home in &homes {
            std::fs::create_dir_all(home).map_err(text)?;
            let key = Keypair::generate_ed25519().to_protobuf_encoding();
            std::fs::write(home.join(victim::KEY), key.map_err(text)?).map_err(text)?;
        }
        let survivor = Survivor::new(config, road.listen()).await?;
        let mut stage = Self {
            survivor,
            side,
            road,
            homes,
        };
        for life in stage.all(None).await {
            life?;
        }
        stage.survivor.set_baseline().await?;
        Ok(stage)
    }

    /// A life of each victim, all at once.
    pub(crate) async fn all(&self, fate: Option<Fate>) -> Vec<Result<Life, String>> {
        join_all(self.homes.iter().map(|home| self.live(home, fate))).await
    }

    /// A victim's life.
    async fn live(&self, home: &Path, fate: Option<Fate>) -> Result<Life, String> {
        let begun = Instant::now();
        let mut child = self.start(home, fate)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err("a victim has no pipes".to_owned());
        };
        let told = tokio::spawn(read_all(stderr));
        let done = tokio::spawn(self.attend(stdin, stdout, begun));
        let id = child.id().ok_or("a victim has no number")?;
        let ended = timeout(PATIENCE, async {
            tokio::select! {
                status = child.wait() => status.map(Some),
                () = frozen(id) => Ok(None),
            }
        });
        let ended = ended.await.map_err(|_| "a victim neither ends nor dies")?;
        let Some(status) = ended.map_err(text)? else {
            return Ok((End::Frozen(child), None));
        };
        // Whoever talked to it hears of its end in time.
        let done = timeout(PATIENCE, done).await;
        let done = done
            .map_err(|_| "whoever talked to the victim hangs")?
            .map_err(text)?;
        let told = told.await.map_err(text)?;
        Ok((end(status, &told)?, done))
    }

    fn start(&self, home: &Path, fate: Option<Fate>) -> Result<Child, String> {
        let mut command = Command::new(std::env::current_exe().map_err(text)?);
        command.arg("victim").arg(home);
        command.arg(self.survivor.party.node.id().to_string());
        match self.side {
            Side::Dialer => command
                .arg("--dial")
                .arg(self.survivor.address().to_string()),
            Side::Listener => command.arg("--listen").arg(self.road.listen()),
        };
        command.env_remove("CARRICK_FAULT");
        if let Some(fate) = fate {
            let how = if fate.freeze { ":stop" } else { "" };
            let fault = format!("{:?}:{}{how}", fate.step, fate.passage);
            command.env("CARRICK_FAULT", fault);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().map_err(text)
    }

    /// Does with the victim what it does not do by itself; the time when all was done.
    fn attend(
        &self,
        stdin: ChildStdin,
        stdout: ChildStdout,
        begun: Instant,
    ) -> impl Future<Output = Option<Duration>> + use<> {
        let party = self.survivor.party.clone();
        let runtime = self.survivor.handle();
        async move {
            let mut lines = BufReader::new(stdout).lines();
            let line = lines.next_line().await.ok()??;
            if let Some(address) = line.strip_prefix("listening ") {
                let address: Multiaddr = address.parse().ok()?;
                let party = Arc::clone(&party);
                let run = runtime.spawn(async move { party.run(&address).await });
                run.await.ok()?.ok()?;
            }
            let done = begun.elapsed();
            drop(stdin);
            Some(done)
        }
    }
}

fn end(status: ExitStatus, told: &str) -> Result<End, String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(End::Orderly),
        (_, Some(9)) => Ok(End::Killed),
        _ => Err(format!("a victim ended by itself ({status}): {told}")),
    }
}

async fn read_all(mut stderr: ChildStderr) -> String {
    let mut told = String::new();
    let _ = stderr.read_to_string(&mut told).await;
    told
}

/// Ready when the process is stopped.
async fn frozen(id: u32) {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
        let stat = stat.unwrap_or_default();
        // The state follows the name, which stands in brackets.
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        if state.is_some_and(|state| state.starts_with('T')) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

const LOOK: Duration = Duration::from_millis(5);
/// Longer than any life on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(50);
