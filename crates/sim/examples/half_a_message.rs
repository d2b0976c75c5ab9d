//! A little protocol with a bug, and the world that finds it. A client asks for the sum of some numbers; the server takes
//! each piece that it receives for a whole message. On a good day it is. In a world whose links cut bytes anywhere, it is
//! not: the first seed that shows it is shrunk to one call, and the same seeds hold when the server is mended.
//!
//! `cargo run -p carrick-sim --example half_a_message`

use carrick_sim::{Chance, Config, Conversation, Faults, Talk, Trial, World};

const PROTOCOL: &str = "/sum/1";

/// Adds up bytes; the first one says how many there are.
struct Server {
    waits_for_all: bool,
    heard: Vec<u8>,
}

impl Conversation for Server {
    fn recv(&mut self, talk: &mut Talk<'_>, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        let whole = self.heard.len() > usize::from(self.heard[0]);
        if whole || !self.waits_for_all {
            let sum: u32 = self.heard[1..].iter().copied().map(u32::from).sum();
            talk.write(&sum.to_be_bytes());
            talk.finish();
        }
    }
}

/// Asks for a sum that it knows.
struct Client {
    numbers: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let count = chance.between(1, 100);
        let numbers = (0..count).map(|_| chance.below(256) as u8).collect();
        let answer = Vec::new();
        Self { numbers, answer }
    }
}

impl Conversation for Client {
    fn handle_opened(&mut self, talk: &mut Talk<'_>) {
        talk.write(&[self.numbers.len() as u8]);
        talk.write(&self.numbers);
        talk.expect(true);
    }

    fn recv(&mut self, _: &mut Talk<'_>, bytes: &[u8]) {
        self.answer.extend_from_slice(bytes);
    }

    fn handle_end(&mut self, talk: &mut Talk<'_>) {
        let sum: u32 = self.numbers.iter().copied().map(u32::from).sum();
        let right = self.answer == sum.to_be_bytes();
        talk.check(right, || format!("{:?} is not the sum, {sum}", self.answer));
        talk.expect(false);
        talk.finish();
    }
}

fn prepare(world: &mut World, waits_for_all: bool) {
    for host in 0..world.hosts() {
        world.handle(host, PROTOCOL, move || {
            let heard = Vec::new();
            Box::new(Server {
                waits_for_all,
                heard,
            })
        });
    }
    world.set_caller(PROTOCOL, |seed| Box::new(Client::new(seed)));
}

fn main() {
    let config = Config {
        hosts: 3,
        operations: 20,
        faults: Faults {
            piece_max: 300,
            ..Faults::LAN
        },
        ..Config::default()
    };
    let wrong = Trial::new(config.clone()).with(|world| prepare(world, false));
    let found = (0..50).find(|seed| wrong.run(*seed).failure.is_some());
    let seed = found.expect("one of 50 worlds cuts a message");
    let shrunk = wrong.shrink(wrong.run(seed));
    let failure = shrunk.failure.expect("it fails again");
    println!("seed {seed}: {failure}");

    let right = Trial::new(config).with(|world| prepare(world, true));
    let held = (0..50).all(|seed| right.run(seed).failure.is_none());
    assert!(held, "the mended server holds");
    println!("mended, all 50 worlds hold");
}
