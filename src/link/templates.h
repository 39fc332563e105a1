// Templates: scaffolds that recur around changing payloads.
//
// Shingle hashes that many exchanges of several entities carry are grouped by where they occur:
// a hash joins a group when its set of exchanges and that of the group's most frequent hash have
// a Jaccard similarity above `together`, estimated by 16 min-hashes (Broder 1997), weighted by how
// many exchanges have one set of hashes (an exponential each, as in Cohen 1997). Every member is
// compared with the group's head and never with another member, so that groups cannot chain.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/parallel.h"
#include "link/log.h"

namespace stillwatch::link {

struct TemplateOptions {
  uint32_t entities_min = 5;     // fewer is one customer's own prompt
  uint32_t exchanges_min = 30;   // fewer carries no statistics
  // ...and in a large log this share of it: phrases that people happen to share grow with the log,
  // what is worth finding in it does too, and memory must not grow faster.
  double share_min = 1e-5;
  uint32_t ExchangesMin(uint64_t rows) const {
    return std::max(exchanges_min, static_cast<uint32_t>(share_min * static_cast<double>(rows)));
  }
  double together = .55;         // Jaccard of occurrence with the group's head
};

struct Template {
  uint64_t id = 0;               // of content: hash of its ascending hashes
  std::vector<uint64_t> hashes;  // salted by part, ascending; the unsalted value is the low half
  std::vector<uint32_t> rows;    // ascending; an exchange belongs to one template at most
  // Variants of one scaffold have a part in common that most of their exchanges carry, of at
  // least a third of their own length; they have the same family.
  uint32_t family = 0;
  // Shingles of the whole scaffold: its own and those of the parts it has in common.
  size_t length = 0;
};

// Deterministic for the same rows at any thread count. Sorted by (rows descending, id).
std::vector<Template> FindTemplates(const Log& log, const TemplateOptions& options,
                                    const base::Parallel& parallel);

}  // namespace stillwatch::link
