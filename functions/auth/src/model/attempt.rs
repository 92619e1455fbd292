//! How often something may be tried, and how long whoever tried too often waits.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::hmac;

/// The longest wait: whoever locks an account out by failing on purpose does not do so for longer.
/// `count_attempt.sql` and `get_block.sql` know it too: twice as long is no wait but a clock that was
/// set.
const DELAY_MAX: Duration = Duration::from_mins(15);

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Signing in to one account.
    Account,
    /// Signing in from one address, where many people may be.
    Address,
    /// Having a message sent to one address.
    Mail,
    /// Continuing sign-ins from one address with what is no refresh token.
    Refresh,
    /// Exchanging API keys that are none from one address.
    Exchange,
}

/// Who is counted: a keyed hash, so that the table lists no addresses.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) hash: Vec<u8>,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
            Self::Mail => "mail",
            Self::Refresh => "refresh",
            Self::Exchange => "exchange",
        }
    }

    /// How many attempts there may be before the first wait.
    fn free_max(self) -> i32 {
        match self {
            Self::Account => 5,
            Self::Mail => 3,
            Self::Address | Self::Exchange => 50,
            // Apps do it by themselves, many of them at once from behind one address.
            Self::Refresh => 200,
        }
    }

    /// The first wait; each further attempt doubles it.
    fn delay_min(self) -> Duration {
        match self {
            Self::Mail => Duration::from_mins(1),
            _ => Duration::from_secs(1),
        }
    }

    /// In how long one attempt is forgotten. Behind an address may be a thousand people who mistype now
    /// and then; whoever tries one account slowly is not to be given more for it.
    pub(crate) fn drain(self) -> Duration {
        match self {
            Self::Address | Self::Refresh | Self::Exchange => Duration::from_mins(1),
            Self::Account | Self::Mail => Duration::from_hours(24),
        }
    }

    /// How long to wait after so many attempts, the last one included.
    pub(crate) fn delay(self, count: i32) -> Duration {
        let over = count.saturating_sub(self.free_max());
        match u32::try_from(over) {
            Ok(0) | Err(_) => Duration::ZERO,
            Ok(over) => {
                let times = 1_u32.checked_shl(over - 1).unwrap_or(u32::MAX);
                self.delay_min().saturating_mul(times).min(DELAY_MAX)
            }
        }
    }
}

impl Subject {
    /// The account of a mail address, which is compared without regard to case.
    pub(crate) fn account(key: &[u8], kind: Kind, email: &str) -> Self {
        Self::new(key, kind, &email.to_ascii_lowercase())
    }

    /// Where a call comes from. Of IPv6 it is the /64 that counts, which one customer is given whole.
    pub(crate) fn address(key: &[u8], kind: Kind, address: Option<IpAddr>) -> Self {
        let text = match address {
            Some(IpAddr::V6(address)) => format!("{:x}/64", address.to_bits() >> 64),
            Some(IpAddr::V4(address)) => address.to_string(),
            None => "unknown".to_owned(),
        };
        Self::new(key, kind, &text)
    }

    fn new(key: &[u8], kind: Kind, text: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, format!("{}:{text}", kind.name()).as_bytes());
        Self { kind, hash: tag.as_ref().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_are_free_and_each_further_one_doubles_the_wait_up_to_a_quarter_of_an_hour() {
        let secs = |count| Kind::Account.delay(count).as_secs();
        assert_eq!([0, 1, 5, 6, 7, 8, 15].map(secs), [0, 0, 0, 1, 2, 4, 512]);
        assert_eq!([16, 17, 100, i32::MAX].map(secs), [900; 4]);
        assert_eq!(Kind::Address.delay(50), Duration::ZERO);
        assert_eq!(Kind::Mail.delay(4), Duration::from_mins(1));
        for (kind, free) in [(Kind::Exchange, 50), (Kind::Refresh, 200)] {
            assert_eq!(kind.delay(free), Duration::ZERO);
            assert_eq!(kind.delay(free + 1), Duration::from_secs(1));
        }
    }

    #[test]
    fn an_account_is_one_in_any_case_and_none_of_another_kind() {
        let of = |kind, email| Subject::account(b"key", kind, email).hash;
        assert_eq!(of(Kind::Account, "Ada@Example.com"), of(Kind::Account, "ada@example.com"));
        assert_ne!(of(Kind::Account, "ada@example.com"), of(Kind::Mail, "ada@example.com"));
        assert_ne!(of(Kind::Account, "ada@example.com"), of(Kind::Account, "bob@example.com"));
    }

    #[test]
    fn neighbours_in_a_network_of_ipv6_are_one() {
        let of = |address: &str| Subject::address(b"key", Kind::Address, address.parse().ok()).hash;
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
