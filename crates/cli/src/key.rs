//! `carrick key`: key files. A node's holds a private key in libp2p's protobuf encoding (specs/peer-ids), which other
//! stacks read and write too; a private network's is a `swarm.key` of go-libp2p. Invariants: only its owner may read it, and no file is ever overwritten.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use carrick::{
    Keypair, SwarmKey,
    steps::{self, Step},
};
use serde_json::json;

use crate::{failure::Failure, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a new Ed25519 key and store it in FILE, readable by its owner only.
    #[command(
        after_help = EXAMPLE
    )]
    Generate(Args),
    /// Show whose key it is; the secret is not shown.
    #[command(after_help = "Example:\n  carrick key show node.key --json")]
    Show(Args),
    /// Make a new key of a private network and store it in FILE, readable by its owner only.
    #[command(after_help = "\
Example:
  carrick key swarm swarm.key && carrick listen --swarm-key swarm.key

Copy the file to every node of the network; the fingerprint tells whether two nodes have the same. Other libp2p stacks,
and Kubo, read it too.")]
    Swarm(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key file.
    file: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    let (args, keypair) = match command {
        Command::Generate(args) => {
            let keypair = Keypair::generate_ed25519();
            let bytes = keypair
                .to_protobuf_encoding()
                .map_err(|error| Failure::new(error, "this kind of key cannot be stored"))?;
            store(&args.file, &bytes)?;
            (args, keypair)
        }
        Command::Show(args) => (args, load(&args.file)?),
        Command::Swarm(args) => return swarm(args),
    };
    let (peer, kind) = (
        keypair.public().to_peer_id(),
        // As `carrick id` and the specs write it.
        keypair.key_type().to_string().replace("Ecdsa", "ECDSA"),
    );
    output::result(&if args.json {
        json!({"peer": peer.to_string(), "key_type": kind, "file": args.file}).to_string()
    } else {
        format!("{peer}  {kind}  {}", output::plain(args.file.display()))
    })
}

fn swarm(args: &Args) -> Result<(), Failure> {
    let key = SwarmKey::generate();
    store(&args.file, key.encode().as_bytes())?;
    let fingerprint = key.fingerprint();
    output::result(&if args.json {
        json!({"fingerprint": fingerprint, "file": args.file}).to_string()
    } else {
        format!("{fingerprint}  {}", output::plain(args.file.display()))
    })
}

/// The key in a file that only its owner can read.
pub(crate) fn load(path: &Path) -> Result<Keypair, Failure> {
    let name = path.display();
    let cannot = |error: io::Error| {
        Failure::new(
            format!("cannot read the key file {name}: {error}"),
            match error.kind() {
                io::ErrorKind::NotFound => format!("`carrick key generate {name}` makes one"),
                _ => "check its path and its owner".to_owned(),
            },
        )
    };
    // What was opened is what is judged and read, whatever happens to the name meanwhile.
    let file = File::open(path).map_err(cannot)?;
    if mode(&file).map_err(cannot)? & 0o077 != 0 {
        return Err(Failure::new(
            format!("the key file {name} is readable by others"),
            format!("chmod 600 {name}"),
        ));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if is_truncated(&bytes) {
        return Err(Failure::new(
            format!(
                "the key file {name} is truncated after {} bytes",
                bytes.len()
            ),
            "restore it from a copy, or make another with `carrick key generate`",
        ));
    }
    Keypair::from_protobuf_encoding(&bytes).map_err(|error| {
        Failure::new(
            format!("{name} is not a key file: {error}"),
            "`carrick key generate FILE` makes one",
        )
    })
}

/// Writes a new file: under a name of its own until it is whole, so that whoever is interrupted leaves no half of a key
/// in the way.
fn store(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let name = path.display();
    let mut unfinished = OsString::from(".");
    unfinished.push(path.file_name().unwrap_or_default());
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = path.with_file_name(unfinished);
    // Who had this number before us has left it.
    let _ = std::fs::remove_file(&unfinished);
    let stored = write(&unfinished, bytes).and_then(|()| {
        steps::passed(Step::KeyFileWritten);
        // Unlike a rename, a link replaces nothing. Some filesystems have none.
        match std::fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => write(path, bytes),
            linked => linked,
        }
    });
    let _ = std::fs::remove_file(&unfinished);
    steps::passed(Step::KeyFileNamed);
    stored.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Failure::new(
                format!("{name} exists and is not overwritten"),
                "choose another name, or remove it if its key is not needed any more",
            )
        } else {
            Failure::new(
                format!("cannot create {name}: {error}"),
                "make room, or choose a place that you may write to",
            )
        }
    })
}

/// A file that was not there, and is on the disk.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    owner_only(&mut options);
    let mut file = options.open(path)?;
    steps::passed(Step::KeyFileMade);
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is worth nothing, and would be in the way.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Whether the bytes are the beginning of `08 <type> 12 <length> <key>` and no more.
fn is_truncated(bytes: &[u8]) -> bool {
    match *bytes {
        [] | [8] | [8, _] | [8, _, 0x12] | [8, _, 0x12, 0x80..=0xff] => true,
        [8, _, 0x12, len @ 0..=0x7f, ref key @ ..] => key.len() < usize::from(len),
        [8, _, 0x12, low, high, ref key @ ..] => {
            key.len() < usize::from(low & 0x7f) | usize::from(high & 0x7f) << 7
        }
        _ => false,
    }
}

#[cfg(unix)]
fn mode(file: &File) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode())
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

/// Elsewhere a new file belongs to its owner by the rules of its folder.
#[cfg(not(unix))]
fn mode(_: &File) -> io::Result<u32> {
    Ok(0o600)
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) {}

pub(crate) const EXAMPLE: &str =
    "Example:\n  carrick key generate node.key && carrick listen --key node.key";
/// No private key is longer: RSA with 8192 bits needs less.
const FILE_MAX: u64 = 8192;
