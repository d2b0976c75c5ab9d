//! M-10: frames of every kind, with every flag, on all sorts of streams, in order and at random, while a model says whether the
//! connection must end. Answered by a header that is checked before anything is done about it.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use carrick_wire::yamux::{DATA_MAX, Flags, HEADER_LEN, Header, INITIAL_WINDOW, Kind};
use futures::{StreamExt, stream};

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    scripted::{End, Found, say},
};
use crate::{ground, raw::Raw, speaker::proposal, stack::Stack};

pub(super) const ATTACK: Attack = Attack {
    id: "M-10",
    name: "frame fuzz against a model",
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(3_000, 300);
    let played = stream::iter(0..count).map(|n| {
        let scene = scene.clone();
        async move {
            let (frames, end) = if n < EVERY {
                single(n)
            } else {
                several(n.into())
            };
            // Whoever comes too fast is refused, and comes again.
            for _ in 0..20 {
                if let Ok(raw) = Raw::connect(ground::attacker_apart(n), scene.tcp()).await {
                    return Some((n, end, say(raw, &frames).await));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            None
        }
    });
    let mut played = played.buffer_unordered(AT_ONCE);
    let (mut outcome, mut cut, mut wrong) = (Outcome::default(), 0, Vec::new());
    while let Some(done) = played.next().await {
        outcome.tried += 1;
        let Some((n, end, found)) = done else {
            outcome.refused += 1;
            continue;
        };
        cut += u64::from(matches!(found, Found::Accused | Found::Closed));
        let right = match end {
            End::Cut => matches!(found, Found::Accused | Found::Closed),
            End::Lives => found == Found::Answers,
            End::Either => found != Found::Silent,
        };
        if !right {
            wrong.push(format!("{n} {end:?} {found:?}"));
        }
    }
    wrong.sort();
    wrong.truncate(5);
    outcome.checks = vec![
        Check::at_most("not played", outcome.refused, u64::from(count / 20)),
        Check::new(cut > 0, format!("{cut} were ended")),
    ];
    // Others may be kinder, or stricter, than our model.
    if scene.stack == Stack::Carrick {
        outcome.checks.push(Check::new(
            wrong.is_empty(),
            format!("other than the model: {}", wrong.join(", ")),
        ));
    }
    Ok(outcome)
}

/// What the model knows of a stream.
#[derive(Clone, Copy)]
struct Known {
    /// It is as we left it: the victim has had no reason to end it.
    sure: bool,
    /// What we may send.
    window: u32,
    /// What the victim may send.
    credit: u32,
}

/// What must come of frames that are said one after the other to whoever listens.
#[derive(Default)]
struct Model {
    streams: BTreeMap<u32, Known>,
}

impl Model {
    fn say(&mut self, header: &[u8; HEADER_LEN]) -> End {
        let Ok(Header {
            kind,
            flags,
            stream,
            length,
        }) = Header::decode(header)
        else {
            return End::Cut;
        };
        match kind {
            Kind::Ping => return End::Lives,
            Kind::GoAway if matches!(length, 1 | 2) => return End::Cut,
            Kind::GoAway => return End::Lives,
            Kind::Data | Kind::WindowUpdate => {}
        }
        if flags.contains(Flags::SYN) {
            if stream % 2 == 0 {
                return End::Cut;
            }
            if let Some(known) = self.streams.get(&stream) {
                return if known.sure { End::Cut } else { End::Either };
            }
            let known = Known {
                sure: true,
                window: INITIAL_WINDOW,
                credit: INITIAL_WINDOW,
            };
            self.streams.insert(stream, known);
        }
        if stream % 2 == 0 {
            // It may be one of the victim's own, which wants to know who we are.
            return End::Either;
        }
        let Some(known) = self.streams.get_mut(&stream) else {
            return End::Lives;
        };
        let reset = flags.contains(Flags::RST);
        let end = match kind {
            // The rest of a frame that resets its stream is of no consequence.
            _ if reset => End::Lives,
            Kind::Data if length > known.window => End::Cut,
            Kind::WindowUpdate if known.credit.checked_add(length).is_none() => End::Cut,
            _ => End::Lives,
        };
        let was_sure = known.sure;
        match kind {
            Kind::Data => known.window = known.window.saturating_sub(length),
            _ => known.credit = known.credit.saturating_add(length),
        }
        // What the victim makes of nonsense, or of our end, it does in its own time.
        known.sure &= !reset && !flags.contains(Flags::FIN) && (kind != Kind::Data || length == 0);
        if end == End::Cut && !was_sure {
            End::Either
        } else {
            end
        }
    }
}

/// Each header by itself: every version, kind, flag, a few streams and lengths.
fn single(n: u32) -> (Vec<u8>, End) {
    let pick = |choices: &[u32], at: u32| choices[at as usize % choices.len()];
    let flags = n % 17;
    let n = n / 17;
    let kind = n % 5;
    let n = n / 5;
    let stream = pick(&[1, 0, 2, u32::MAX, 3], n);
    let length = pick(
        &[
            0,
            1,
            INITIAL_WINDOW,
            INITIAL_WINDOW + 1,
            DATA_MAX + 1,
            u32::MAX,
        ],
        n / 5,
    );
    let version = u8::from(n % 29 == 28);
    play(
        &mut Model::default(),
        &[header(version, kind, flags, stream, length)],
    )
}

/// Up to a dozen headers, of which most are good ones.
fn several(seed: u64) -> (Vec<u8>, End) {
    let mut random = Random(seed);
    let count = 1 + random.below(12);
    let headers: Vec<_> = (0..count)
        .map(|_| {
            let stream = random.one_of(&[1, 1, 3, 5, 7, u32::MAX], &[0, 2]);
            let length = random.one_of(
                &[0, 1, 20, 1000, INITIAL_WINDOW],
                &[INITIAL_WINDOW + 1, u32::MAX],
            );
            let kind = random.one_of(&[0, 0, 1, 1, 2], &[3, 4]);
            let flags = random.one_of(&[0, 1, 1, 2, 4, 8, 3, 12, 5], &[16]);
            header(0, kind, flags, stream, length)
        })
        .collect();
    play(&mut Model::default(), &headers)
}

fn header(version: u8, kind: u32, flags: u32, stream: u32, length: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0] = version;
    header[1] = kind as u8;
    header[2..4].copy_from_slice(&(flags as u16).to_be_bytes());
    header[4..8].copy_from_slice(&stream.to_be_bytes());
    header[8..].copy_from_slice(&length.to_be_bytes());
    header
}

/// The frames with their bodies, up to the one that decides.
fn play(model: &mut Model, headers: &[[u8; HEADER_LEN]]) -> (Vec<u8>, End) {
    let mut out = Vec::new();
    for header in headers {
        out.extend_from_slice(header);
        let end = model.say(header);
        let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let body = header[1] == 0 && length <= DATA_MAX;
        if body && end != End::Cut {
            let mut words = proposal("/x")[..20].to_vec();
            words.resize(length as usize, 0xff);
            out.extend_from_slice(&words);
        }
        if end != End::Lives {
            return (out, end);
        }
    }
    (out, End::Lives)
}

/// The same numbers for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    /// Mostly one of the common ones.
    fn one_of(&mut self, common: &[u32], rare: &[u32]) -> u32 {
        let choices = if self.below(20) > 0 { common } else { rare };
        choices[self.below(choices.len() as u64) as usize]
    }

    fn below(&mut self, max: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % max
    }
}

/// Every header by itself that there is.
const EVERY: u32 = 17 * 5 * 29;
const AT_ONCE: usize = 24;
