#include "engine/specimens.h"

#include <map>
#include <mutex>
#include <string>

#include "base/str.h"
#include "base/time.h"
#include "ingest/content_hash.h"

namespace stillwatch::engine {
namespace {

using base::StrCat;

struct Text {
  std::string text;
  uint32_t content = 0;
  int64_t expires = 0;
};
using Texts = std::map<std::string, Text, std::less<>>;  // by exchange id

// Not in the middle of a character.
std::string_view Cut(std::string_view text) {
  if (text.size() <= kSpecimenPartBytesMax) return text;
  size_t n = kSpecimenPartBytesMax;
  while (n > 0 && (static_cast<uint8_t>(text[n]) & 0xC0) == 0x80) --n;
  return text.substr(0, n);
}

lake::Block Rows() {
  return {{{"exchange_id", lake::StringColumn()},
           {"campaign_id", lake::StringColumn()},
           {"text", lake::StringColumn()},
           {"expires", std::vector<int64_t>()}}};
}

absl::Status ReadKept(lake::Lake& lake, lake::Block* rows) {
  return lake.Query("SELECT exchange_id, campaign_id, text, expires FROM specimens",
                    [&](const lake::Block& b) {
                      for (size_t i = 0; i < b.rows(); ++i) {
                        for (size_t c = 0; c < 3; ++c) {
                          rows->columns[c].As<lake::StringColumn>().Append(
                              b.columns[c].As<lake::StringColumn>()[i]);
                        }
                        rows->columns[3].As<std::vector<int64_t>>().push_back(
                            b.columns[3].As<std::vector<int64_t>>()[i]);
                      }
                      return absl::OkStatus();
                    });
}

}  // namespace

absl::Status TakeSpecimens(const ScanInput& in, model::Findings* findings) {
  lake::Block kept = Rows();
  if (absl::Status s = ReadKept(*in.lake, &kept); !s.ok()) return s;
  Texts texts;
  for (const model::Campaign& c : findings->campaigns) {
    for (const model::TemplateRef& t : c.templates) {
      for (const model::Specimen& s : t.specimens) texts.try_emplace(s.exchange_id);
    }
  }
  for (size_t i = 0; i < kept.rows(); ++i) {
    const auto it = texts.find(kept.columns[0].As<lake::StringColumn>()[i]);
    if (it == texts.end()) continue;
    it->second.text = kept.columns[2].As<lake::StringColumn>()[i];
    it->second.expires = kept.columns[3].As<std::vector<int64_t>>()[i];
  }
  if (in.source != nullptr && !texts.empty()) {
    const int64_t expires = in.now_ms + kSpecimenDays * base::kMsPerDay;
    std::mutex lock;
    ingest::Sink sink;
    sink.exchange = [&](int, const model::ExchangeView& e) -> absl::Status {
      const auto it = texts.find(e.exchange_id);
      if (it == texts.end() || !e.has_text) return absl::OkStatus();
      const uint32_t content = ingest::ContentHash(e);
      const std::lock_guard<std::mutex> hold(lock);
      // Of several records with this id the one that counts in the log.
      if (it->second.expires == expires && it->second.content <= content) return absl::OkStatus();
      const std::string_view system = Cut(e.system), turn = Cut(e.turn);
      it->second = {StrCat(system, system.empty() || turn.empty() ? "" : "\n\n", turn), content,
                    expires};
      return absl::OkStatus();
    };
    sink.reject = [](model::Reject) { return absl::OkStatus(); };  // said in the first reading
    if (absl::Status s = in.source->Read(in.threads, sink, nullptr, in.stop); !s.ok()) return s;
  }
  lake::Block rows = Rows();
  for (model::Campaign& c : findings->campaigns) {
    for (model::TemplateRef& t : c.templates) {
      std::vector<model::Specimen> found;
      for (model::Specimen& s : t.specimens) {
        const Text& text = texts.find(s.exchange_id)->second;
        if (text.text.empty() || found.size() == in.specimens) continue;
        rows.columns[0].As<lake::StringColumn>().Append(s.exchange_id);
        rows.columns[1].As<lake::StringColumn>().Append(c.id);
        rows.columns[2].As<lake::StringColumn>().Append(text.text);
        rows.columns[3].As<std::vector<int64_t>>().push_back(text.expires);
        s.text = text.text;
        found.push_back(std::move(s));
      }
      t.specimens = std::move(found);
    }
  }
  return rows.rows() == 0 && kept.rows() == 0 ? absl::OkStatus()
                                              : in.lake->Replace("specimens", rows);
}

absl::Status ExpireSpecimens(lake::Lake& lake, int64_t now_ms) {
  // What a run that was cut short left.
  bool left = false;
  if (absl::Status s = lake.Query("SELECT name FROM system.tables WHERE database = "
                                  "currentDatabase() AND name = 'specimens_other'",
                                  [&](const lake::Block& b) {
                                    left = true;
                                    return absl::OkStatus();
                                  });
      !s.ok()) {
    return s;
  }
  if (left) {
    if (absl::Status s = lake.Execute("DROP TABLE IF EXISTS specimens_other SYNC"); !s.ok())
      return s;
  }
  lake::Block kept = Rows(), rows = Rows();
  if (absl::Status s = ReadKept(lake, &kept); !s.ok()) return s;
  for (size_t i = 0; i < kept.rows(); ++i) {
    const int64_t expires = kept.columns[3].As<std::vector<int64_t>>()[i];
    if (expires <= now_ms) continue;
    for (size_t c = 0; c < 3; ++c) {
      rows.columns[c].As<lake::StringColumn>().Append(kept.columns[c].As<lake::StringColumn>()[i]);
    }
    rows.columns[3].As<std::vector<int64_t>>().push_back(expires);
  }
  return rows.rows() == kept.rows() ? absl::OkStatus() : lake.Replace("specimens", rows);
}

}  // namespace stillwatch::engine
