#include "user/bin/sh/lexer.hpp"

#include <utility>

namespace faultline::sh {
namespace {

bool is_blank(int c) { return c == ' ' || c == '\t' || c == '\r'; }

bool ends_word(int c) {
  return c < 0 || is_blank(c) || c == '\n' ||
         std::string_view(";&|<>()").find(static_cast<char>(c)) != std::string_view::npos;
}

void append_literal(Word& word, char c, bool quoted) {
  auto& parts = word.parts;
  if (parts.empty() || parts.back().kind != WordPart::Kind::Literal || parts.back().quoted != quoted) {
    parts.emplace_back();
    parts.back().quoted = quoted;
  }
  parts.back().text.push_back(c);
}

}  // namespace

bool is_name_character(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool is_name(std::string_view text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  for (char c : text) {
    if (!is_name_character(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

std::string_view Token::plain_text() const {
  if (kind != Kind::Word || word.parts.size() != 1) return {};
  const WordPart& part = word.parts[0];
  if (part.kind != WordPart::Kind::Literal || part.quoted) return {};
  return part.text;
}

void Lexer::fail(std::string message) {
  if (failure_.failed) return;
  failure_.failed = true;
  failure_.message = "line " + std::to_string(source_.line()) + ": " + std::move(message);
}

bool Lexer::enter() {
  if (++depth_ <= kMaxDepth) return true;
  fail("nested too deeply");
  return false;
}

bool Lexer::require_more(const char* inside) {
  if (failure_.failed) return false;
  int c = peek();
  if (c >= 0) return true;
  fail(std::string("end of input inside ") + inside);
  if (c == Source::kInterrupted) failure_.interrupted = true;
  return false;
}

void Lexer::skip_blanks_and_comments() {
  while (is_blank(peek())) next_character();
  if (peek() != '#') return;
  while (peek() >= 0 && peek() != '\n') next_character();
}

Token Lexer::next() {
  for (;;) {
    Token token = lex_token();
    // A word without parts is nothing but a line continuation.
    if (token.kind != Token::Kind::Word || !token.word.parts.empty()) return token;
  }
}

Token Lexer::lex_token() {
  Token token;
  if (failure_.failed) return token;
  skip_blanks_and_comments();
  token.begin = source_.position();
  int c = peek();
  if (c == Source::kInterrupted) {
    failure_.failed = failure_.interrupted = true;
    return token;
  }
  if (c == Source::kEnd || c == '\n') {
    if (c == '\n') {
      next_character();
      token.kind = Token::Kind::Newline;
    }
    read_here_documents();
    return token;
  }
  source_.continue_command();
  if (ends_word(c)) {
    size_t begin = token.begin;
    token = lex_operator();
    token.begin = begin;
  } else {
    lex_word(token.word);
    token.kind = Token::Kind::Word;
    std::string_view plain = token.plain_text();
    bool number = !plain.empty() && plain.size() <= 4 && plain.find_first_not_of("0123456789") == plain.npos;
    if (number && (peek() == '<' || peek() == '>')) {
      token.text = plain;
      token.kind = Token::Kind::IoNumber;
    }
  }
  token.end = source_.position();
  if (failure_.failed) token.kind = Token::Kind::End;
  return token;
}

Token Lexer::lex_operator() {
  static constexpr std::string_view kOperators[] = {"&&", "||", ";;", "<<-", "<<", ">>",
                                                    "<&", ">&", "<>", ">|",  "&>"};
  Token token;
  token.kind = Token::Kind::Operator;
  token.text.push_back(static_cast<char>(next_character()));
  for (;;) {
    int c = peek();
    if (c < 0) return token;
    std::string longer = token.text + static_cast<char>(c);
    bool known = false;
    for (std::string_view candidate : kOperators) known = known || candidate == longer;
    if (!known) return token;
    next_character();
    token.text = std::move(longer);
  }
}

void Lexer::lex_word(Word& word) {
  if (peek() == '~') {
    next_character();
    if (ends_word(peek()) || peek() == '/') {
      word.parts.emplace_back();
      word.parts.back().kind = WordPart::Kind::Tilde;
    } else {
      append_literal(word, '~', false);
    }
  }
  while (!failure_.failed && !ends_word(peek())) lex_word_character(word, Quoting::None);
}

// Takes one character, or one quotation or expansion, into `word`.
bool Lexer::lex_word_character(Word& word, Quoting quoting) {
  int c = peek();
  if (c == '\\') {
    lex_escape(word, quoting);
  } else if (c == '$') {
    lex_dollar(word, quoting);
  } else if (c == '`') {
    lex_backquoted(word, quoting);
  } else if (c == '\'' && quoting == Quoting::None) {
    lex_single_quoted(word);
  } else if (c == '"' && quoting != Quoting::HereDocument) {
    lex_double_quoted(word);
  } else {
    append_literal(word, static_cast<char>(next_character()), quoting != Quoting::None);
  }
  return !failure_.failed;
}

void Lexer::lex_escape(Word& word, Quoting quoting) {
  next_character();
  int c = peek();
  if (c < 0) {
    if (c == Source::kInterrupted) return void(require_more("a word"));
    return append_literal(word, '\\', true);
  }
  bool special = quoting == Quoting::None || c == '$' || c == '`' || c == '\\' || c == '\n' ||
                 (c == '"' && quoting == Quoting::Double);
  if (!special) return append_literal(word, '\\', true);
  next_character();
  if (c != '\n') append_literal(word, static_cast<char>(c), true);
}

void Lexer::lex_single_quoted(Word& word) {
  next_character();
  word.parts.emplace_back();
  word.parts.back().quoted = true;
  while (require_more("single quotes")) {
    int c = next_character();
    if (c == '\'') return;
    word.parts.back().text.push_back(static_cast<char>(c));
  }
}

void Lexer::lex_double_quoted(Word& word) {
  next_character();
  word.parts.emplace_back();  // "" is an empty word, not none
  word.parts.back().quoted = true;
  while (require_more("double quotes")) {
    if (peek() == '"') {
      next_character();
      return;
    }
    lex_word_character(word, Quoting::Double);
  }
}

void Lexer::lex_dollar(Word& word, Quoting quoting) {
  next_character();
  WordPart part;
  part.quoted = quoting != Quoting::None;
  part.kind = WordPart::Kind::Parameter;
  int c = peek();
  if (c == '(') {
    next_character();
    if (peek() == '(') {
      lex_arithmetic(part);
    } else {
      lex_command_substitution(part);
    }
  } else if (c == '{') {
    next_character();
    lex_braced_parameter(part, quoting);
  } else if (is_name_character(c) && !(c >= '0' && c <= '9')) {
    while (is_name_character(peek())) part.text.push_back(static_cast<char>(next_character()));
  } else if (c >= 0 &&
             std::string_view("0123456789?$!#@*-").find(static_cast<char>(c)) != std::string_view::npos) {
    part.text.push_back(static_cast<char>(next_character()));
  } else {
    return append_literal(word, '$', true);
  }
  word.parts.push_back(std::move(part));
}

void Lexer::read_here_documents() {
  for (HereDocument& document : std::exchange(here_documents_, {})) {
    std::string text;
    bool found = false;
    while (!found && peek() >= 0) {
      std::string line;
      while (peek() >= 0 && peek() != '\n') line.push_back(static_cast<char>(next_character()));
      if (peek() == '\n') next_character();
      if (document.strip_tabs) line.erase(0, std::min(line.find_first_not_of('\t'), line.size()));
      found = line == document.delimiter;
      if (!found) text += line + '\n';
    }
    // Only without the delimiter: after it, looking at the input would ask for another line.
    if (!found && peek() == Source::kInterrupted) {
      failure_.failed = failure_.interrupted = true;
    } else if (document.literal) {
      document.target->parts.emplace_back();
      document.target->parts.back().quoted = true;
      document.target->parts.back().text = std::move(text);
    } else {
      Source body(std::move(text));
      *document.target = Lexer(body, failure_, depth_ + 1).lex_here_document_text();
    }
  }
}

void Lexer::expect_here_document(std::shared_ptr<Word> target, std::string delimiter, bool literal,
                                 bool strip_tabs) {
  here_documents_.push_back({std::move(target), std::move(delimiter), literal, strip_tabs});
}

Word Lexer::lex_here_document_text() {
  Word word;
  while (!failure_.failed && peek() >= 0) lex_word_character(word, Quoting::HereDocument);
  return word;
}

}  // namespace faultline::sh
