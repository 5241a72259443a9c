//! The shares of the operations in a load: `invoice=40,withdraw=40,balance=20`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Invoice,
    Withdraw,
    Transfer,
    /// A withdrawal that opens a hold.
    Pending,
    /// Settles a hold; if there is none, the same as `Pending`.
    Settle,
    Balance,
    History,
}

impl Kind {
    const ALL: [(Self, &str); 7] = [
        (Self::Invoice, "invoice"),
        (Self::Withdraw, "withdraw"),
        (Self::Transfer, "transfer"),
        (Self::Pending, "pending"),
        (Self::Settle, "settle"),
        (Self::Balance, "balance"),
        (Self::History, "history"),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, own)| *own == name).map(|(kind, _)| kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = Self::ALL.into_iter().find(|(kind, _)| kind == self);
        f.write_str(own.map_or("", |(_, name)| name))
    }
}

/// Operations with their shares, at least one of them above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mix(Vec<(Kind, u16)>);

impl Mix {
    /// An operation, each as often as its share says.
    pub(super) fn pick(&self, random: &mut fastrand::Rng) -> Kind {
        let total: u32 = self.0.iter().map(|(_, share)| u32::from(*share)).sum();
        let mut point = random.u32(0..total);
        for (operation, share) in &self.0 {
            match point.checked_sub(u32::from(*share)) {
                Some(rest) => point = rest,
                None => return *operation,
            }
        }
        unreachable!("the point lies below the sum of the shares")
    }

    pub(super) fn has_withdrawals(&self) -> bool {
        let debits = [Kind::Withdraw, Kind::Transfer, Kind::Pending, Kind::Settle];
        self.0.iter().any(|(kind, share)| debits.contains(kind) && *share > 0)
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self(vec![(Kind::Invoice, 40), (Kind::Withdraw, 40), (Kind::Balance, 20)])
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (operation, share)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{operation}={share}")?;
        }
        Ok(())
    }
}

impl FromStr for Mix {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut shares = Vec::new();
        for part in text.split(',') {
            let (name, share) =
                part.split_once('=').context("must be a list such as invoice=40,withdraw=40,balance=20")?;
            let operation = Kind::named(name).with_context(|| {
                format!("{name:?} is not one of {}", Kind::ALL.map(|(_, name)| name).join(", "))
            })?;
            let share = share.parse().context("a share must be a whole number from 0 to 65535")?;
            if shares.iter().any(|(other, _)| *other == operation) {
                bail!("{name} is given twice");
            }
            shares.push((operation, share));
        }
        if shares.iter().all(|(_, share)| *share == 0) {
            bail!("at least one share must be above 0");
        }
        Ok(Self(shares))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written() {
        let default: Mix = Mix::default().to_string().parse().unwrap();
        assert_eq!(default, Mix::default());
        for wrong in
            ["", "invoice", "invoice=0", "invoice=1,invoice=2", "invoice=-1", "transform=1", "invoice=1,"]
        {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn operations_come_as_often_as_their_shares_say() {
        let mix: Mix = "invoice=3,withdraw=0,balance=1".parse().unwrap();
        assert!(!mix.has_withdrawals());
        let mut random = fastrand::Rng::with_seed(1);
        let picked: Vec<Kind> = (0..4000).map(|_| mix.pick(&mut random)).collect();
        let of = |operation| picked.iter().filter(|other| **other == operation).count();
        assert!((2800..3200).contains(&of(Kind::Invoice)));
        assert_eq!(of(Kind::Withdraw), 0);
    }
}
