// What LOG on the command line may name, and the one source over all of it: files, globs and "-",
// URLs that the engine reads, and expressions of its own (remote('host', 'db.table', ...)).
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ingest/formats/format_source.h"
#include "ingest/source.h"
#include "lake/lake.h"

namespace stillwatch::ingest {

class Log {
 public:
  // Expands globs and looks at each file: everything about files that can be known to be wrong is
  // an error here. `format` is a name, a FILE.sql, "canonical" or "auto", which looks at each one.
  static absl::StatusOr<Log> Plan(const std::vector<std::string>& logs, const std::string& format,
                                  const std::atomic<bool>* stop = nullptr);

  // Looks at what only the engine can reach, too. `lake` must outlive the source.
  absl::StatusOr<std::unique_ptr<Source>> Open(lake::Lake* lake, const FormatOptions& options);

  // Whether `lake` is asked to read or take apart anything; canonical files do without.
  bool needs_engine() const {
    return std::any_of(parts_.begin(), parts_.end(), [](const Part& p) {
      return p.kind != Part::kFile || p.format != "canonical";
    });
  }

  // "LOG: recognised as litellm: the first record carries ..."; empty while all is canonical.
  const std::vector<std::string>& recognised() const { return recognised_; }
  // Names for journals: without passwords, query strings and what stands in brackets.
  const std::vector<std::string>& names() const { return names_; }
  // The first one that cannot be read a second time (a pipe); empty: all can.
  const std::string& once() const { return once_; }

 private:
  struct Part {
    enum Kind { kFile, kUrl, kTable } kind = kFile;
    std::string log, name;
    std::string format;  // "canonical", another name, or "" until the engine has looked
    bool lines = true;   // of kUrl and kTable
  };
  absl::Status Recognise(Part* part, const Glance& glance);
  absl::Status Look(lake::Lake* lake, Part* part);

  std::string asked_;
  std::vector<Part> parts_;
  std::vector<std::string> recognised_, names_;
  std::string once_;
};

}  // namespace stillwatch::ingest
