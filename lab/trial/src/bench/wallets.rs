//! Which wallets the requests are for: all alike, or a few much more often than the rest.

use clap::ValueEnum;
use florin_ledger::WalletId;

/// How the requests are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Distribution {
    /// Every wallet as often as any other.
    Uniform,
    /// By Zipf's law with exponent 1: wallet 1 twice as often as wallet 2, three times as often as wallet 3.
    Zipf,
}

/// Wallets 1 to `count`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wallets {
    pub(super) count: WalletId,
    pub(super) distribution: Distribution,
}

impl Wallets {
    /// The wallet of the next request.
    pub(super) fn pick(&self, random: &mut fastrand::Rng) -> WalletId {
        match self.distribution {
            Distribution::Uniform => random.i64(1..=self.count),
            Distribution::Zipf => zipf(self.count, random),
        }
    }
}

/// Rejection-inversion (Hörmann and Derflinger 1996) for exponent 1: needs no table, and rarely a second try.
/// The curve 1/x stands in for the steps 1/k: a point below it is drawn, and kept when it is below the steps
/// too.
#[allow(clippy::cast_possible_truncation, reason = "the point lies within the range of the wallets")]
fn zipf(count: WalletId, random: &mut fastrand::Rng) -> WalletId {
    let most = count as f64;
    // The area under the curve up to x; the first step, which the curve overshoots, begins at its own height.
    let (low, high) = (1.5_f64.ln() - 1.0, (most + 0.5).ln());
    loop {
        let area = low + random.f64() * (high - low);
        let k = area.exp().round().clamp(1.0, most);
        if area >= (k + 0.5).ln() - 1.0 / k {
            return k as WalletId;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_follows_its_law() {
        let wallets = Wallets { count: 1000, distribution: Distribution::Zipf };
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = vec![0_u32; 1001];
        for _ in 0..200_000 {
            counts[usize::try_from(wallets.pick(&mut random)).unwrap()] += 1;
        }
        let harmonic: f64 = (1..=1000).map(|k| 1.0 / f64::from(k)).sum();
        for k in [1_u32, 2, 3, 10, 50] {
            let expected = 200_000.0 / harmonic / f64::from(k);
            let ratio = f64::from(counts[k as usize]) / expected;
            assert!((0.85..1.15).contains(&ratio), "wallet {k}: {ratio}");
        }
        assert_eq!(counts[0], 0);
    }

    #[test]
    fn a_single_wallet_gets_everything() {
        let mut random = fastrand::Rng::with_seed(7);
        for distribution in [Distribution::Uniform, Distribution::Zipf] {
            let wallets = Wallets { count: 1, distribution };
            assert!((0..100).all(|_| wallets.pick(&mut random) == 1));
        }
    }
}
