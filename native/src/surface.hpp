// What can be said of a text without understanding it: the statistics behind the published rules of
// quality (C4, Gopher, FineWeb) and of readability. "surface-1".
//
// A character is a code point. A word is a run of what is not white space. A line stands between line
// feeds, is taken without the white space around it, and is no line where nothing is left. A paragraph
// is a run of lines with no blank line between them. A sentence ends with one of .!? and any closing
// quotes and brackets after it, where white space or the text's end follows. A letter is a match of \w
// (text.hpp). Shares are 0 where there is nothing to divide by.
//
// Words beyond the first 2^20 have no part in the n-grams and mattr, nor have lines and paragraphs in
// what is repeated: the memory for one huge document stays bounded.
#pragma once
#include <array>

#include "arrow.hpp"

namespace assay {

enum Statistic : size_t {
  characters,
  words,
  mean_word_length,
  hash_ratio,
  ellipsis_ratio,
  alphabetic_words,
  stop_words,
  lines,
  bullet_lines,
  ellipsis_lines,
  terminal_lines,
  short_lines,
  newline_ratio,
  duplicate_lines,
  duplicate_line_characters,
  duplicate_line_text,
  paragraphs,
  duplicate_paragraphs,
  duplicate_paragraph_characters,
  top_2gram_characters,
  top_3gram_characters,
  top_4gram_characters,
  duplicate_5gram_characters,
  duplicate_6gram_characters,
  duplicate_7gram_characters,
  duplicate_8gram_characters,
  duplicate_9gram_characters,
  duplicate_10gram_characters,
  c4_lines,
  c4_sentences,
  curly_brackets,
  lorem_ipsum,
  javascript_lines,
  policy_lines,
  sentences,
  digit_characters,
  capitalised_words,
  parentheses,
  mattr_50,
  ari,
  coleman_liau,
  lix,
  statistic_count
};

inline constexpr const char* statistic_names[statistic_count] = {
    "characters", "words", "mean_word_length", "hash_ratio", "ellipsis_ratio", "alphabetic_words",
    "stop_words", "lines", "bullet_lines", "ellipsis_lines", "terminal_lines", "short_lines",
    "newline_ratio", "duplicate_lines", "duplicate_line_characters", "duplicate_line_text",
    "paragraphs", "duplicate_paragraphs", "duplicate_paragraph_characters", "top_2gram_characters",
    "top_3gram_characters", "top_4gram_characters", "duplicate_5gram_characters",
    "duplicate_6gram_characters", "duplicate_7gram_characters", "duplicate_8gram_characters",
    "duplicate_9gram_characters", "duplicate_10gram_characters", "c4_lines", "c4_sentences",
    "curly_brackets", "lorem_ipsum", "javascript_lines", "policy_lines", "sentences",
    "digit_characters", "capitalised_words", "parentheses", "mattr_50", "ari", "coleman_liau", "lix"};

inline constexpr size_t most_items = size_t{1} << 20;
inline constexpr size_t short_line = 30;   // characters (FineWeb)
inline constexpr size_t least_words = 3;   // of a line that C4 keeps
inline constexpr size_t longest_word = 1000;  // characters in a line that C4 keeps
inline constexpr size_t long_word = 6;     // letters: longer ones count for LIX
inline constexpr size_t mattr_window = 50;

// --- sets and counts of hashes -------------------------------------------------------------------

// Values by hash, emptied in no time: what has an older stamp is not there.
class Stamped {
 public:
  struct Slot {
    u64 key;
    u32 stamp, value, first;
  };

  void begin(size_t most) {
    size_t size = std::bit_ceil(2 * std::max<size_t>(most, 32));
    if (slots_.size() < size) slots_.assign(size, Slot{}), stamp_ = 0;
    if (++stamp_ == 0) std::fill(slots_.begin(), slots_.end(), Slot{}), stamp_ = 1;
    mask_ = size - 1;
  }

  Slot& operator[](size_t place) { return slots_[place]; }
  size_t place(const Slot* slot) const { return static_cast<size_t>(slot - slots_.data()); }

  // The hash's slot, and whether it was there; a new one begins with value 0.
  std::pair<Slot*, bool> find(u64 key) {
    for (size_t at = key & mask_;; at = (at + 1) & mask_) {
      Slot& slot = slots_[at];
      if (slot.stamp != stamp_) return slot = {key, stamp_, 0, 0}, std::pair{&slot, false};
      if (slot.key == key) return {&slot, true};
    }
  }

  void shrink(size_t keep) {
    if (slots_.size() > keep) std::vector<Slot>().swap(slots_);
  }

 private:
  std::vector<Slot> slots_;
  u32 stamp_ = 0;
  size_t mask_ = 0;
};

// --- characters ----------------------------------------------------------------------------------

struct Character {
  u32 code, size;
  bool space, letter, upper;
};

inline Character character_at(Text text, size_t at) {
  u32 c = text.data[at];
  if (c < 0x80) [[likely]] {
    bool upper = c - 'A' < 26, digit = c - '0' < 10;
    return {c, 1, c - 9 < 5 || c - 28 < 5, upper || c - 'a' < 26 || digit || c == '_', upper};
  }
  CodePoint point = code_point_at(text, at);
  if (!point.size) return {0xfffd, 1, false, false, false};
  const unicode::Record& record = unicode::record(point.code);
  bool upper = record.delta != 0 || point.code == dotted_i;
  return {point.code, point.size, record.look == ' ', record.look == 'a', upper};
}

inline bool is_digit(u32 code) { return code - '0' < 10; }
inline bool ends_sentence(u32 code) { return code == '.' || code == '!' || code == '?'; }
inline bool closes(u32 code) {
  return code == '"' || code == '\'' || code == ')' || code == ']' || code == 0x201d || code == 0x2019;
}

inline bool ends_with(Text text, std::string_view end) {
  return text.size >= end.size() &&
         !std::memcmp(text.data + text.size - end.size(), end.data(), end.size());
}

inline bool starts_with(Text text, std::string_view begin) {
  return text.size >= begin.size() && !std::memcmp(text.data, begin.data(), begin.size());
}

inline bool ends_with_ellipsis(Text line) {
  return ends_with(line, "...") || ends_with(line, "\xe2\x80\xa6");
}

constexpr u32 packed(std::string_view word) {
  u32 found = 0;
  for (size_t i = 0; i < word.size(); i++) found |= static_cast<u32>(static_cast<u8>(word[i])) << 8 * i;
  return found;
}

// One of {the be to of and that have with}.
inline bool is_stop_word(Text word) {
  if (word.size - 2 > 2) return false;
  const u8* p = word.data;
  u32 found = p[0] | static_cast<u32>(p[1]) << 8;
  if (word.size > 2) found |= static_cast<u32>(p[2]) << 16;
  if (word.size > 3) found |= static_cast<u32>(p[3]) << 24;
  return found == packed("the") || found == packed("be") || found == packed("to") ||
         found == packed("of") || found == packed("and") || found == packed("that") ||
         found == packed("have") || found == packed("with");
}

// What an ASCII character adds to the counts of its word: 8 bits for each count. 255 characters fit.
struct Ascii {
  static constexpr int letters = 0, digits = 8, hashes = 16, parentheses = 24, curly = 32, dots = 40,
                       alphabetic = 48;
  u64 adds;
  bool stops;  // white space, or no ASCII
};

inline constexpr auto ascii_table = [] {
  std::array<Ascii, 256> table{};
  for (u32 c = 0; c < 256; c++) {
    bool digit = c - '0' < 10, latin = c - 'A' < 26 || c - 'a' < 26;
    auto at = [&](bool adds, int place) { return static_cast<u64>(adds) << place; };
    table[c].stops = c >= 0x80 || c - 9 < 5 || c - 28 < 5;
    table[c].adds = at(latin || digit || c == '_', Ascii::letters) | at(digit, Ascii::digits) |
                    at(c == '#', Ascii::hashes) | at(c == '(', Ascii::parentheses) |
                    at(c == '{', Ascii::curly) | at(c == '.', Ascii::dots) |
                    at(latin, Ascii::alphabetic);
  }
  return table;
}();

// --- phrases -------------------------------------------------------------------------------------

// Whether some phrases stand in a text, whatever the case of their ASCII letters. Most documents hold
// none of them: then no line is looked at.
class Phrases {
 public:
  void begin(Text text) {
    lowered_.reserve(text.size + 1);
    for (size_t i = 0; i < text.size; i++) {
      u8 c = text.data[i];
      lowered_.data()[i] = static_cast<u8>(c - 'A' < 26u ? c + 32 : c);
    }
    size_ = text.size;
    javascript_ = holds(0, size_, "javascript");
    policy_ = states_policy(0, size_);
  }

  bool lorem_ipsum() const { return holds(0, size_, "lorem ipsum"); }
  bool javascript(size_t from, size_t to) const {
    return javascript_ && holds(from, to, "javascript");
  }
  bool policy(size_t from, size_t to) const { return policy_ && states_policy(from, to); }

  void shrink(size_t keep) { lowered_.shrink(keep); }

 private:
  bool states_policy(size_t from, size_t to) const {
    if (holds(from, to, "policy"))
      if (holds(from, to, "privacy policy") || holds(from, to, "cookie policy")) return true;
    if (holds(from, to, "terms of use")) return true;
    return holds(from, to, "cookies") &&
           (holds(from, to, "uses cookies") || holds(from, to, "use of cookies") ||
            holds(from, to, "use cookies"));
  }

  bool holds(size_t from, size_t to, std::string_view phrase) const {
    return memmem(lowered_.memory() + from, to - from, phrase.data(), phrase.size());
  }

  struct Bytes : Buffer<u8> {
    const u8* memory() const { return const_cast<Bytes*>(this)->data(); }
  };

  Bytes lowered_;
  size_t size_ = 0;
  bool javascript_ = false, policy_ = false;
};

// --- a document ----------------------------------------------------------------------------------

class Surface {
 public:
  // out[statistic_count].
  void measure(Text text, double* out) {
    begin(text);
    walk();
    fill(out);
    shrink();
  }

 private:
  struct Line {
    size_t begin, end;                    // bytes, without the white space around
    size_t characters_before, characters_to;  // of the text, up to its begin and its end
    size_t words, longest, ends;          // longest in characters; ends of sentences
  };

  void begin(Text text) {
    text_ = text;
    n_ = {};
    size_t feeds = static_cast<size_t>(std::count(text.data, text.data + text.size, '\n'));
    seen_lines_.begin(std::min(feeds + 1, most_items));
    seen_paragraphs_.begin(std::min(feeds + 1, most_items));
    phrases_.begin(text);
    hashes_.clear(), lengths_.clear(), lengths_.push_back(0);
    paragraph_ = {};
    begin_line();
    covered_ = 0;
    begin_of_sentence_ = true, after_end_ = in_word_ = false;
  }

  void begin_line() {
    line_ = {};
    line_.begin = text_.size;
    begin_of_sentence_ = true;
  }

  void walk() {
    for (size_t at = 0; at < text_.size;) {
      if (size_t end = plain_word(at)) {
        at = end;
        continue;
      }
      // White space, or a word that is not all ASCII.
      for (bool space = false; !space && at < text_.size;) {
        Character c = character_at(text_, at);
        if (c.space)
          end_word(at);
        else
          take(c, at);
        space = c.space;
        n_.characters++;
        at += c.size;
        if (c.code == '\n') end_line();
      }
    }
    end_word(text_.size);
    end_line();
    end_paragraph();
  }

  // Takes the word that begins here, if it and what ends it are ASCII, and returns where it ends.
  size_t plain_word(size_t begin) {
    u64 adds = 0;
    size_t end = begin, most = std::min(text_.size, begin + 255);
    while (end < most && !ascii_table[text_.data[end]].stops) adds += ascii_table[text_.data[end++]].adds;
    if (end == begin || (end < text_.size && !(ascii_table[text_.data[end]].stops && text_.data[end] < 0x80)))
      return 0;
    auto count = [&](int place) { return static_cast<size_t>(adds >> place & 0xff); };
    begin_word(text_.data[begin] - 'A' < 26u, begin);
    word_.characters = end - begin;
    word_.letters = count(Ascii::letters);
    word_.alphabetic = count(Ascii::alphabetic) > 0;
    n_.digits += count(Ascii::digits);
    n_.hashes += count(Ascii::hashes);
    n_.parentheses += count(Ascii::parentheses);
    n_.curly += count(Ascii::curly);
    if (count(Ascii::dots) > 2)
      for (size_t at = begin; at < end; at++) count_dots(text_.data[at]);
    size_t last = end;
    while (last > begin + 1 && closes(text_.data[last - 1])) last--;
    after_end_ = ends_sentence(text_.data[last - 1]);
    n_.characters += end - begin;
    end_word(end);
    return end;
  }

  void take(Character c, size_t at) {
    if (!in_word_) begin_word(c.upper, at);
    word_.characters++;
    word_.letters += c.letter;
    word_.alphabetic |= c.letter && !is_digit(c.code) && c.code != '_';
    n_.digits += is_digit(c.code);
    n_.hashes += c.code == '#';
    n_.parentheses += c.code == '(';
    n_.curly += c.code == '{';
    count_dots(c.code);
    after_end_ = ends_sentence(c.code) || (after_end_ && closes(c.code));
  }

  // "...." holds one "...", as str.count sees it.
  void count_dots(u32 code) {
    dots_ = code == '.' ? dots_ + 1 : 0;
    if (dots_ == 3) n_.ellipses++, dots_ = 0;
    n_.ellipses += code == 0x2026;
  }

  void begin_word(bool upper, size_t at) {
    in_word_ = true;
    word_ = {};
    word_.begin = at;
    dots_ = 0;
    n_.capitalised += upper && !begin_of_sentence_;
    if (line_.begin == text_.size) line_.begin = at, line_.characters_before = n_.characters;
  }

  void end_word(size_t end) {
    if (!in_word_) return;
    in_word_ = false;
    n_.words++;
    n_.letters += word_.letters;
    n_.word_characters += word_.characters;
    n_.alphabetic += word_.alphabetic;
    n_.long_words += word_.letters > long_word;
    n_.ends += after_end_, line_.ends += after_end_;
    begin_of_sentence_ = after_end_;
    after_end_ = false;
    Text word = {text_.data + word_.begin, end - word_.begin};
    n_.stop_words += is_stop_word(word);
    line_.end = end, line_.characters_to = n_.characters;
    line_.words++, line_.longest = std::max(line_.longest, word_.characters);
    if (hashes_.size() == most_items) return;
    hashes_.push_back(hash_of(word));
    lengths_.push_back(lengths_.back() + word_.characters);
    covered_ = n_.characters;
  }

  // hash_bytes(seed 0), without copying where the text goes on for long enough.
  u64 hash_of(Text part) const {
    bool room = part.data + part.size + 16 <= text_.data + text_.size;
    return room ? hash_token(part.data, part.size) : hash_bytes(part.data, part.size, 0);
  }

  void end_line() {
    if (line_.begin == text_.size)
      end_paragraph();
    else
      look_at(line_);
    begin_line();
  }

  void look_at(const Line& line) {
    Text text = {text_.data + line.begin, line.end - line.begin};
    size_t length = line.characters_to - line.characters_before;
    u8 last = text.data[text.size - 1];
    bool ellipsis = ends_with_ellipsis(text);
    bool terminal = last == '.' || last == '!' || last == '?' || last == '"';
    n_.lines++;
    n_.bullets += starts_with(text, "-") || starts_with(text, "\xe2\x80\xa2");
    n_.ellipsis_lines += ellipsis;
    n_.terminal += terminal || last == '\'';
    n_.short_lines += length <= short_line;
    look_for_repeats(hash_of(text), length);
    bool script = phrases_.javascript(line.begin, line.end);
    bool policy = phrases_.policy(line.begin, line.end);
    n_.javascript += script, n_.policy += policy;
    if (!terminal || ends_with(text, "...") || script || policy || line.words < least_words ||
        line.longest > longest_word)
      return;
    n_.c4_lines++;
    n_.c4_sentences += std::max<size_t>(line.ends, 1);
  }

  void look_for_repeats(u64 hash, size_t length) {
    if (n_.lines <= most_items && seen_lines_.find(hash).second)
      n_.duplicate_lines++, n_.duplicate_line_characters += length;
    // A paragraph's characters are those of its lines and the feeds between them.
    paragraph_.characters += length + (paragraph_.lines ? 1 : 0);
    paragraph_.lines++;
    paragraph_.hash = extend(paragraph_.hash, hash);
  }

  void end_paragraph() {
    if (!paragraph_.lines) return;
    n_.paragraphs++;
    if (n_.paragraphs <= most_items && seen_paragraphs_.find(paragraph_.hash).second)
      n_.duplicate_paragraphs++, n_.duplicate_paragraph_characters += paragraph_.characters;
    paragraph_ = {};
  }

  // --- n-grams ---
  //
  // An n-gram occurs twice only where the two shorter ones in it do. So from one n to the next only the
  // places of repeated ones are looked at, which soon are few: repeated_ holds them, ascending.

  size_t size_of(size_t from, size_t n) const { return lengths_[from + n] - lengths_[from]; }

  // The mean share of distinct words over all runs of 50 words (Covington and McFall 2010), and which
  // words occur twice. A word is distinct in the runs that begin after its last occurrence before it.
  double moving_types() {
    size_t n = hashes_.size(), window = std::min(n, mattr_window);
    if (!n) return 0;
    size_t sum = 0, last_start = n - window;
    table_.begin(n);
    slots_.resize(n);
    for (size_t i = 0; i < n; i++) {
      auto [slot, there] = table_.find(hashes_[i]);
      size_t from = std::max<size_t>(there ? slot->first + 1 : 0, i + 1 >= window ? i + 1 - window : 0);
      size_t to = std::min(i, last_start);
      if (from <= to) sum += to - from + 1;
      slot->first = static_cast<u32>(i), slot->value++;
      slots_[i] = static_cast<u32>(table_.place(slot));
    }
    repeated_.clear();
    for (size_t i = 0; i < n; i++)
      if (table_[slots_[i]].value > 1) repeated_.push_back(static_cast<u32>(i));
    return static_cast<double>(sum) / static_cast<double>(window * (last_start + 1));
  }

  // The places where an n-gram may occur twice, its hashes, and how often each occurs there; given
  // those of n - 1.
  void count_ngrams(size_t n) {
    size_t count = 0;
    for (size_t k = 0; k + 1 < repeated_.size(); k++)
      if (repeated_[k + 1] == repeated_[k] + 1) repeated_[count++] = repeated_[k];
    repeated_.resize(count);
    if (n == 2) ngrams_ = hashes_;
    table_.begin(count);
    slots_.resize(count);
    for (size_t k = 0; k < count; k++) {
      size_t i = repeated_[k];
      ngrams_[i] = extend(ngrams_[i], hashes_[i + n - 1]);
      auto [slot, there] = table_.find(ngrams_[i]);
      if (!there) slot->first = static_cast<u32>(i);
      slot->value++;
      slots_[k] = static_cast<u32>(table_.place(slot));
    }
  }

  // Characters, spaces between words included, of the n-gram that occurs most, times its number. Of
  // several the one that comes first.
  size_t top_ngram(size_t n) {
    u32 most = 1, first = 0;
    for (u32 place : slots_) {
      const Stamped::Slot& slot = table_[place];
      if (slot.value > most || (slot.value == most && slot.first < first))
        most = slot.value, first = slot.first;
    }
    return most * (size_of(first, n) + n - 1);
  }

  // Characters, without spaces, of the n-grams that came before; none overlaps the one before it.
  size_t duplicate_ngrams(size_t n) {
    constexpr u32 met = ~u32{0};
    size_t sum = 0, next = 0;
    for (size_t k = 0; k < repeated_.size(); k++) {
      size_t i = repeated_[k];
      if (i < next) continue;
      Stamped::Slot& slot = table_[slots_[k]];
      if (slot.first == met)
        sum += size_of(i, n), next = i + n;
      else
        slot.first = met;
    }
    return sum;
  }

  void keep_repeated() {
    size_t count = 0;
    for (size_t k = 0; k < repeated_.size(); k++)
      if (table_[slots_[k]].value > 1) repeated_[count++] = repeated_[k];
    repeated_.resize(count);
  }

  // After moving_types. Where no n-gram occurs twice, no longer one does: most documents are done after
  // a few n.
  void fill_ngrams(double* out) {
    for (size_t n = 2; n <= 10 && n <= hashes_.size(); n++) {
      if (n > 4 && repeated_.empty()) return;
      count_ngrams(n);
      size_t found = n <= 4 ? top_ngram(n) : duplicate_ngrams(n);
      out[n <= 4 ? top_2gram_characters + n - 2 : duplicate_5gram_characters + n - 5] =
          static_cast<double>(found) / static_cast<double>(covered_);
      keep_repeated();
    }
  }

  // --- the numbers ---

  void fill(double* out) {
    std::fill(out, out + statistic_count, 0.0);
    auto real = [](size_t count) { return static_cast<double>(count); };
    auto share = [&](size_t part, size_t whole) { return whole ? real(part) / real(whole) : 0.0; };
    size_t feeds = static_cast<size_t>(std::count(text_.data, text_.data + text_.size, '\n'));
    out[characters] = real(n_.characters);
    out[words] = real(n_.words);
    out[mean_word_length] = share(n_.word_characters, n_.words);
    out[hash_ratio] = share(n_.hashes, n_.words);
    out[ellipsis_ratio] = share(n_.ellipses, n_.words);
    out[alphabetic_words] = share(n_.alphabetic, n_.words);
    out[stop_words] = real(n_.stop_words);
    out[lines] = real(n_.lines);
    out[bullet_lines] = share(n_.bullets, n_.lines);
    out[ellipsis_lines] = share(n_.ellipsis_lines, n_.lines);
    out[terminal_lines] = share(n_.terminal, n_.lines);
    out[short_lines] = share(n_.short_lines, n_.lines);
    out[newline_ratio] = share(feeds, n_.words);
    out[duplicate_lines] = share(n_.duplicate_lines, n_.lines);
    out[duplicate_line_characters] = share(n_.duplicate_line_characters, n_.characters);
    out[duplicate_line_text] = share(n_.duplicate_line_characters, n_.characters - feeds);
    out[paragraphs] = real(n_.paragraphs);
    out[duplicate_paragraphs] = share(n_.duplicate_paragraphs, n_.paragraphs);
    out[duplicate_paragraph_characters] = share(n_.duplicate_paragraph_characters, n_.characters);
    out[c4_lines] = share(n_.c4_lines, n_.lines);
    out[c4_sentences] = real(n_.c4_sentences);
    out[curly_brackets] = real(n_.curly);
    out[lorem_ipsum] = phrases_.lorem_ipsum();
    out[javascript_lines] = share(n_.javascript, n_.lines);
    out[policy_lines] = share(n_.policy, n_.lines);
    out[sentences] = real(n_.ends);
    out[digit_characters] = share(n_.digits, n_.characters);
    out[capitalised_words] = share(n_.capitalised, n_.words);
    out[parentheses] = share(n_.parentheses, n_.words);
    if (hashes_.size() == n_.words) covered_ = n_.characters;
    out[mattr_50] = moving_types();
    fill_ngrams(out);
    if (n_.words) fill_readability(out);
  }

  // Senter and Smith 1967; Coleman and Liau 1975; Björnsson 1968. A text of words has a sentence.
  void fill_readability(double* out) {
    double words = static_cast<double>(n_.words);
    double sentences = static_cast<double>(std::max<size_t>(n_.ends, 1));
    double letters = static_cast<double>(n_.letters);
    out[ari] = 4.71 * (letters / words) + 0.5 * (words / sentences) - 21.43;
    out[coleman_liau] =
        0.0588 * (100.0 * letters / words) - 0.296 * (100.0 * sentences / words) - 15.8;
    out[lix] = words / sentences + 100.0 * static_cast<double>(n_.long_words) / words;
  }

  void shrink() {
    for (Stamped* table : {&table_, &seen_lines_, &seen_paragraphs_}) table->shrink(kept_scratch / 8);
    phrases_.shrink(kept_scratch);
    if (hashes_.capacity() > kept_scratch / 8) {
      for (auto* values : {&hashes_, &ngrams_}) std::vector<u64>().swap(*values);
      std::vector<size_t>().swap(lengths_);
      for (auto* places : {&repeated_, &slots_}) std::vector<u32>().swap(*places);
    }
  }

  struct Counts {
    size_t characters, words, word_characters, letters, digits, hashes, ellipses, parentheses, curly;
    size_t alphabetic, stop_words, long_words, capitalised, ends;
    size_t lines, bullets, ellipsis_lines, terminal, short_lines, javascript, policy, c4_lines,
        c4_sentences;
    size_t duplicate_lines, duplicate_line_characters;
    size_t paragraphs, duplicate_paragraphs, duplicate_paragraph_characters;
  };

  struct Word {
    size_t begin, characters, letters;
    bool alphabetic;
  };

  struct Paragraph {
    u64 hash;
    size_t lines, characters;
  };

  Text text_ = {};
  Counts n_ = {};
  Line line_ = {};
  Word word_ = {};
  Paragraph paragraph_ = {};
  bool in_word_ = false, after_end_ = false, begin_of_sentence_ = true;
  size_t dots_ = 0;
  size_t covered_ = 0;  // characters of the text, or up to the last word that the n-grams know
  Phrases phrases_;
  Stamped table_, seen_lines_, seen_paragraphs_;
  std::vector<u64> hashes_, ngrams_;
  std::vector<size_t> lengths_;  // of the words before each, and of all
  std::vector<u32> repeated_, slots_;  // places of n-grams that may occur twice; their slots
};

}  // namespace assay
