//! The checksum that a store keeps of a whole object, and whether the bytes that came have it.

use crate::failure::{Code, Failure};
use base64_simd::STANDARD;
use crc_fast::CrcAlgorithm;
use sha2::Digest as _;
use std::fmt;

/// How a checksum is computed. SHA-1 is not among them: nothing else here needs it, and who can choose it can choose a CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// CRC-32 of ISO 3309, as in zip and Ethernet: 4 bytes.
    Crc32,
    /// CRC-32 of Castagnoli: 4 bytes.
    Crc32c,
    /// CRC-64 of NVM Express, AWS's default: 8 bytes.
    Crc64Nvme,
    /// 32 bytes.
    Sha256,
}

/// What the bytes of an object have to add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    /// The first of them, as many as the algorithm has; the others are 0.
    expected: [u8; 32],
}

/// Adds up the bytes of one object.
pub struct Verifier {
    checksum: Checksum,
    sum: Sum,
}

enum Sum {
    Crc(Box<crc_fast::Digest>),
    Sha256(Box<sha2::Sha256>),
}

// === impl Algorithm ===

impl Algorithm {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 4] = [Self::Crc64Nvme, Self::Crc32c, Self::Crc32, Self::Sha256];

    fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha256 => 32,
        }
    }

    fn start(self) -> Sum {
        let crc = |algorithm| Sum::Crc(Box::new(crc_fast::Digest::new(algorithm)));
        match self {
            Self::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Self::Sha256 => Sum::Sha256(Box::default()),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha256 => "SHA-256",
        })
    }
}

// === impl Checksum ===

impl Checksum {
    /// Reads the value as S3 writes it: base64, the most significant byte first. `None` where it is no such value, or not of that length.
    pub fn from_base64(algorithm: Algorithm, value: &str) -> Option<Self> {
        // The value comes from outside: its length is known before anything is decoded.
        if value.len() != algorithm.bytes().div_ceil(3) * 4 {
            return None;
        }
        let decoded = STANDARD.decode_to_vec(value).ok().filter(|decoded| decoded.len() == algorithm.bytes())?;
        let mut expected = [0; 32];
        expected[..decoded.len()].copy_from_slice(&decoded);
        Some(Self { algorithm, expected })
    }

    /// How it is computed.
    pub fn algorithm(self) -> Algorithm {
        self.algorithm
    }

    /// Compares it with what the bytes add up to, the most significant byte first. What differs is the store's or the network's fault, never the
    /// image's.
    pub fn check(self, sum: &[u8]) -> Result<(), Failure> {
        let algorithm = self.algorithm;
        if self.expected[..algorithm.bytes()] == *sum {
            return Ok(());
        }
        let message = format!(
            "the store keeps a {algorithm} of the object, and the bytes that came do not have it: they were damaged on their way or in the store. If \
             it stays so, upload the object again, and look for what changes it: a proxy before the store, or a program that writes behind the store"
        );
        Err(Failure::new(Code::StoreUnavailable, message))
    }
}

// === impl Verifier ===

impl Verifier {
    /// Begins with the first byte.
    pub fn new(checksum: Checksum) -> Self {
        Self { checksum, sum: checksum.algorithm.start() }
    }

    /// Takes note of the next bytes.
    pub fn chunk(&mut self, chunk: &[u8]) {
        match &mut self.sum {
            Sum::Crc(sum) => sum.update(chunk),
            Sum::Sha256(sum) => sum.update(chunk),
        }
    }

    /// Whether all bytes together have the checksum.
    pub fn finish(self) -> Result<(), Failure> {
        match self.sum {
            Sum::Crc(sum) => {
                let sum = sum.finalize().to_be_bytes();
                self.checksum.check(&sum[sum.len() - self.checksum.algorithm.bytes()..])
            }
            Sum::Sha256(sum) => self.checksum.check(&sum.finalize()),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("checksum", &self.checksum).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of `123456789`, from the catalogue of CRCs and FIPS 180-4's `sha256sum`; in base64.
    const CHECK: [(Algorithm, &str); 4] = [
        (Algorithm::Crc32, "y/Q5Jg=="),
        (Algorithm::Crc32c, "4waSgw=="),
        (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
        (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
    ];

    /// Of 10,240 bytes, 0 to 255 again and again, as MinIO RELEASE.2025-09-07 and versitygw 1.8.0 answered after boto3's upload.
    const STORED: [(Algorithm, &str); 4] = [
        (Algorithm::Crc32, "u847nQ=="),
        (Algorithm::Crc32c, "vYRs1w=="),
        (Algorithm::Crc64Nvme, "4XY+hejrRZk="),
        (Algorithm::Sha256, "6WdgqHdocXvOvP0l3cfUa028laSwAU3vCAwIU599kNA="),
    ];

    fn verify(algorithm: Algorithm, value: &str, chunks: &[&[u8]]) -> Result<(), Failure> {
        let mut verifier = Verifier::new(Checksum::from_base64(algorithm, value).expect("a value"));
        for chunk in chunks {
            verifier.chunk(chunk);
        }
        verifier.finish()
    }

    #[test]
    fn the_known_vectors_match_and_one_bit_less_does_not() {
        for (algorithm, value) in CHECK {
            assert_eq!(verify(algorithm, value, &[b"123456789"]), Ok(()), "{algorithm}");
            let failure = verify(algorithm, value, &[b"123456788"]).expect_err("another");
            assert_eq!(failure.code(), Code::StoreUnavailable);
            let (message, name) = (failure.message(), format!("keeps a {algorithm} of the object"));
            assert!(message.contains(&name) && message.contains("upload the object again"), "{message}");
            assert!(verify(algorithm, value, &[b"12345678"]).is_err(), "{algorithm}: a shorter object");
        }
    }

    #[test]
    fn what_is_no_value_of_the_algorithm_is_not_read() {
        for (algorithm, value) in CHECK {
            assert_eq!(Checksum::from_base64(algorithm, value).map(Checksum::algorithm), Some(algorithm));
            for other in CHECK.iter().filter(|(other, _)| other.bytes() != algorithm.bytes()) {
                assert_eq!(Checksum::from_base64(algorithm, other.1), None, "{algorithm} from {}", other.0);
            }
            for wrong in ["", "=", "-", "y/Q5Jg==-2", "y/Q5Jg", "cbf43926", " y/Q5Jg==", "ü", &"A".repeat(4096)] {
                assert_eq!(Checksum::from_base64(algorithm, wrong), None, "{algorithm} from {wrong}");
            }
        }
    }

    proptest! {
        #[test]
        fn chunking_does_not_matter(cuts in prop::collection::vec(0usize..=10_240, 0..8)) {
            let bytes: Vec<u8> = (0..=255).cycle().take(10_240).collect();
            let mut cuts = cuts;
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            for (algorithm, value) in STORED {
                prop_assert_eq!(verify(algorithm, value, &pieces), Ok(()));
            }
        }
    }
}
