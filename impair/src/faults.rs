//! What the path does to packets, and how that is written: `5%`, `150ms`, `100mbit`.

use std::time::Duration;

/// What happens to packets, both ways alike. The default is a perfect cable.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Faults {
    /// Time on the way, each way
    #[arg(long, default_value = "0ms", value_parser = duration)]
    pub(crate) delay: Duration,
    /// Up to so much more; packets keep their order
    #[arg(long, default_value = "0ms", value_parser = duration)]
    pub(crate) jitter: Duration,
    /// Share of packets that vanish
    #[arg(long, default_value = "0%", value_parser = share)]
    pub(crate) loss: f64,
    /// Packets that vanish in a row, on average; 1 or less: each by itself
    #[arg(long, default_value_t = 1.0)]
    pub(crate) burst: f64,
    /// Share of packets that later ones pass
    #[arg(long, default_value = "0%", value_parser = share)]
    pub(crate) reorder: f64,
    /// How long those are kept back
    #[arg(long, default_value = "10ms", value_parser = duration)]
    pub(crate) reorder_by: Duration,
    /// Share of packets that arrive twice
    #[arg(long, default_value = "0%", value_parser = share)]
    pub(crate) duplicate: f64,
    /// Share of packets in which a bit flips. The receiving kernel sees that by the checksum, and drops them
    #[arg(long, default_value = "0%", value_parser = share)]
    pub(crate) corrupt: f64,
    /// Flip the bit in what TCP or UDP carries and mend the checksums, so that the program gets the wrong byte
    #[arg(long)]
    pub(crate) fix_checksums: bool,
    /// Bits per second, each way, such as 100mbit; 0: no limit
    #[arg(long, default_value = "0", value_parser = rate)]
    pub(crate) rate: u64,
    /// How long packets may wait for that rate before the queue is full and they are dropped
    #[arg(long, default_value = "100ms", value_parser = duration)]
    pub(crate) queue: Duration,
    /// Longer IP packets are dropped; 0: none are
    #[arg(long, default_value_t = 0)]
    pub(crate) mtu: usize,
    /// Answer those that are too long with ICMP, as an honest router would
    #[arg(long)]
    pub(crate) too_big: bool,
}

impl Faults {
    /// Changes one of them, by its name on the command line.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse().map_err(|_| format!("`{value}` is no number"));
        let switch = || match value {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(format!("`{value}` is neither `on` nor `off`")),
        };
        match name {
            "delay" => self.delay = duration(value)?,
            "jitter" => self.jitter = duration(value)?,
            "loss" => self.loss = share(value)?,
            "burst" => self.burst = number()?,
            "reorder" => self.reorder = share(value)?,
            "reorder-by" => self.reorder_by = duration(value)?,
            "duplicate" => self.duplicate = share(value)?,
            "corrupt" => self.corrupt = share(value)?,
            "fix-checksums" => self.fix_checksums = switch()?,
            "rate" => self.rate = rate(value)?,
            "queue" => self.queue = duration(value)?,
            "mtu" => {
                self.mtu = value
                    .parse()
                    .map_err(|_| format!("`{value}` is no length"))?;
            }
            "too-big" => self.too_big = switch()?,
            _ => return Err(format!("`{name}` is no fault")),
        }
        Ok(())
    }
}

/// `150ms`, `3s`, `20us`; at most a day.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        _ => return Err(format!("`{text}` is no time such as 150ms or 3s")),
    };
    within(text, number, seconds, (86_400.0, "a day: 1440min")).map(Duration::from_secs_f64)
}

/// `5%`, `0.1%`: from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let number = text
        .strip_suffix('%')
        .ok_or_else(|| format!("`{text}` is no share such as 5%"))?;
    within(text, number, 0.01, (1.0, "100%"))
}

/// `100mbit`: bits per second.
fn rate(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let bits = match unit {
        "" | "bit" => 1.0,
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => return Err(format!("`{text}` is no rate such as 100mbit")),
    };
    within(text, number, bits, (1e12, "1000gbit")).map(|bits| bits as u64)
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_alphabetic());
    text.split_at(end.unwrap_or(text.len()))
}

fn within(text: &str, number: &str, unit: f64, (max, most): (f64, &str)) -> Result<f64, String> {
    let value = number.parse::<f64>().map(|value| value * unit);
    match value {
        Ok(value) if (0.0..=max).contains(&value) => Ok(value),
        _ => Err(format!(
            "`{text}` is too much or no number; the most is {most}"
        )),
    }
}

#[cfg(test)]
mod tests;
