//! The token that callers over HTTP must know: made by the daemon, or the user's own, in a file that nobody else can read.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use crate::failure::Failure;

/// Of a token that we make.
const TOKEN_BYTES: usize = 32;
/// Of a token that the user has made.
const TOKEN_LEN_MIN: usize = 16;
const TOKEN_LEN_MAX: u64 = 256;

/// A new token in the place of the last one's.
pub(crate) fn renew(file: &Path) -> Result<String, Failure> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(file, &error)),
        _ => make(file),
    }
}

/// The user's token; made if there is none.
pub(crate) fn load(file: &Path) -> Result<String, Failure> {
    let opened = match fs::File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make(file),
        Err(error) => return Err(failed(file, &error)),
    };
    let name = file.display();
    let found = opened.metadata().map_err(|error| failed(file, &error))?;
    if !found.is_file() || found.mode() & 0o077 != 0 {
        return Err(Failure::new(
            format!("others may read the token {name}, and whoever knows it controls the node"),
            format!("`chmod 600 {name}`"),
        ));
    }
    let mut text = String::new();
    let read = (&opened).take(TOKEN_LEN_MAX + 2).read_to_string(&mut text);
    read.map_err(|error| failed(file, &error))?;
    let token = text.trim();
    let is_fit = (TOKEN_LEN_MIN as u64..=TOKEN_LEN_MAX).contains(&(token.len() as u64));
    if is_fit
        && token
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',')
    {
        Ok(token.to_owned())
    } else {
        Err(Failure::new(
            format!(
                "{name} holds no token: {TOKEN_LEN_MIN} to {TOKEN_LEN_MAX} letters, digits and signs in one line"
            ),
            "name a file that is not there, and one is made",
        ))
    }
}

fn make(file: &Path) -> Result<String, Failure> {
    let mut bytes = [0; TOKEN_BYTES];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Failure::new("the system gives no random numbers", "try again"))?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| writeln!(file, "{token}"));
    written.map_err(|error| failed(file, &error))?;
    Ok(token)
}

fn failed(file: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("cannot use the token file {}: {error}", file.display()),
        "name another one with --token-file",
    )
}
