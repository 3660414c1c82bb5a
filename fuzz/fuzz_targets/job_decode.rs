#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antispoofd_fuzz::job_decode(data));
