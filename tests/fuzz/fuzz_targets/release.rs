#![no_main]

#[path = "../targets.rs"]
mod targets;
#[path = "../../bench/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::release::release(input));
