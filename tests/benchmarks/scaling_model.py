"""Predicts the cost of a training update on many GPUs, with the model that bench_exchange checks on small runs.

An update consists of 6 P operations per token (Kaplan et al. 2020, arXiv 2001.08361, section 2.1; P parameters), then a
reduce-scatter of the gradients and an all-gather of the parameters, in float32 and without overlap: each GPU sends
2 (N-1)/N 4P bytes in 2 (N-1) messages. The rates of the machine are assumptions, which the options change.
"""

import argparse

# Parameters of llama2 prenorm with a vocabulary of 32,000, from test_parameter_counts.cpp.
MODELS = {"1B": 1_055_991_808, "7B": 6_738_415_616}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak", type=float, default=989e12, help="operations per second of a GPU (H100, bfloat16, dense)")
    parser.add_argument("--fraction", type=float, default=0.4, help="share of the peak that the arithmetic reaches")
    parser.add_argument("--node", type=int, default=8, help="GPUs per machine")
    parser.add_argument("--inside", type=float, default=450e9, help="bytes per second between GPUs of one machine")
    parser.add_argument("--outside", type=float, default=50e9, help="bytes per second and GPU between machines")
    parser.add_argument("--latency", type=float, default=10e-6, help="seconds per message")
    parser.add_argument("--tokens", type=int, default=16384, help="tokens per GPU and update")
    options = parser.parse_args()
    print("model  GPUs  tokens/update  GB sent by each  arithmetic s  messages s  efficiency  optimizer state GB")
    for name, parameters in MODELS.items():
        for gpus in (8, 64, 512):
            volume = 2 * (gpus - 1) / gpus * 4 * parameters
            bandwidth = options.inside if gpus <= options.node else options.outside
            arithmetic = 6 * parameters * options.tokens / (options.fraction * options.peak)
            messages = volume / bandwidth + 2 * (gpus - 1) * options.latency
            print(
                f"{name:>5} {gpus:>5} {gpus * options.tokens:>14,} {volume / 1e9:>16.1f} {arithmetic:>13.3f}"
                f" {messages:>11.3f} {arithmetic / (arithmetic + messages):>11.2f} {8 * parameters / gpus / 1e9:>19.2f}"
            )


if __name__ == "__main__":
    main()
