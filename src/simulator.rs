//! The stand-in for the vendor.
