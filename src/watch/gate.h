// Watching all the time must not accuse more innocents than one review does.
//
// A scan's e-BH keeps the share of false accusations of one review at kErrorRate. A pass a minute
// is 43,000 reviews a month of nearly the same evidence, and whoever looks often enough sees every
// candidate at its luckiest moment. So a finding may be told and acted upon only once it passes
// this gate; the campaigns of a pass stay those of a scan.
//
// Each candidate that is ever weighed is a start: it takes the next serial number j of its cohort
// (a span of calendar time) and with it the share gamma_j of the error budget, the shares of all
// serials being at most 1. It is looked at when it is first weighed, and again each time that its
// volume has grown by kLookGrowth, or a whole window has passed; its k-th look has the share w_k =
// 1 / (k (k + 1)), all looks together 1. Let E_jk be the e-value of that look: the likelihood ratio
// of the evidence that did not form the candidate. The gate keeps
//
//   A_j = sum over the looks so far of w_k E_jk,
//
// which grows to something whose mean is at most 1 if each E_jk's is, however the looks depend on
// one another (a sum of means needs no independence, and unlike a running maximum of e-values it is
// an e-value itself). Open are the r starts of the cohort with gamma_j A_j >= 1 / (rate r), for the
// largest such r: e-BH with weights (Wang and Ramdas 2022; Ignatiadis, Wang and Ramdas 2024). What
// is open stays open, as A_j only grows.
//
// Guarantee: of the starts of one cohort that were opened by any moment, at which one may stop
// for any reason, the expected share of false ones is at most `rate`. In a world of
// innocents: the chance that anything at all is ever told of a cohort is at most `rate`.
//
// Assumptions, beyond a scan's own: (1) the e-value of one look has mean at most 1 under its null,
// which is judge's claim (weights by reasoning, docs/DETECTION.md); (2) when a candidate is looked
// at depends on its volume and the clock, which say nothing about guilt (the null of a rhythm is
// given the volume). Taking a candidate for a new one, or two for one, costs power and never
// validity, as every look uses a share of its own.
//
// Why not a plain e-process with Ville's inequality, which looks for free: it needs the ratio to be
// a martingale, new evidence multiplied onto old. Judge's is computed anew over the window, with a
// rhythm in standard deviations of random groups; it is no product of increments.
//
// Price: a candidate whose bits grow in proportion to its volume, and which a single review
// would accuse at volume V at a threshold of T bits, opens at the latest at V * kLookGrowth * (T +
// X) / T, where X = log2(1 / gamma_j) - log2(candidates of the review) + log2(k (k + 1)). In
// gate_test that is 1.7 to 2.2 times the volume beside 20 to 200 innocent candidates, 3.7 alone.
//
// Pure; values.
#pragma once

#include <cstdint>
#include <vector>

#include "watch/sample.h"

namespace stillwatch::watch {

inline constexpr double kLookGrowth = 1.25;
inline constexpr size_t kStartSample = 32;    // hashes kept of each start
inline constexpr size_t kStartsMax = 40'000;  // kept to be known again, as are those not seen for
                                              // two windows; what is dropped starts anew

struct GateOptions {
  double rate = .01;                                // as judge::kErrorRate
  int64_t cohort_ms = int64_t{91} * 86'400'000;     // span of starts that share one budget
  int64_t window_ms = int64_t{30} * 86'400'000;     // of a pass; a silent candidate is looked at
                                                    // again after as long
};

// A candidate of a pass, reported or not.
struct Look {
  Sample exchanges;     // its smallest hashes of exchange ids, at least 32 if it has as many
  // Whether this pass accuses it, and then the bits of the evidence that did not form it. What is
  // not accused has the e-value 0: so what opens is accused, and the guarantee is about
  // accusations.
  bool accused = false;
  double log2_e = 0;
};

struct Start {
  uint64_t cohort = 0, serial = 0;  // serial from 1 within the cohort
  uint64_t looks = 0;
  uint64_t looked_exchanges = 0;  // volume and time of the last look
  int64_t looked_ms = 0;
  double log2_sum = -1e9;         // of A_j
  bool open = false;
  int64_t seen_ms = 0;
  Sample exchanges;

  bool operator==(const Start&) const = default;
};

struct Gate {
  uint64_t cohort = 0, serials = 0;  // the current cohort, serials given in it
  std::vector<Start> starts;         // by cohort, then serial
  bool operator==(const Gate&) const = default;
};

struct GateStep {
  Gate next;
  std::vector<bool> open;         // of each look, in their order
  std::vector<double> bits_short; // what each lacks, in bits; 0 when open
};

// One pass at time `now_ms`. A clock that goes back opens no earlier cohort.
GateStep Pass(const Gate& before, const std::vector<Look>& looks, int64_t now_ms,
              const GateOptions& options);

// Shares of the budget in bits: log2(1 / gamma_j) and log2(1 / w_k), j and k from 1.
double SerialBits(uint64_t serial);
double LookBits(uint64_t look);

}  // namespace stillwatch::watch
