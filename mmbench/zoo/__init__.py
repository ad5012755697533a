"""The zoo: encoders, fusions and decoders that models are composed from; one file per idea."""
