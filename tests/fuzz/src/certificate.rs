//! A certificate, in its bytes: of what is no RSA key in one there are no numbers.

pub(crate) fn run(data: &[u8]) {
    if let Some([modulus, exponent]) = identity::fuzzing::certificate(data) {
        // Both stand in it, as positive numbers are written.
        for number in [modulus, exponent] {
            assert!(number.first().is_some_and(|byte| *byte != 0), "{number:?}");
            assert!(data.windows(number.len()).any(|part| part == number));
        }
    }
}
