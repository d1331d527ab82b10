// Splits program text into tokens; words come apart into what is expanded in which way.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "user/bin/sh/source.hpp"
#include "user/bin/sh/syntax.hpp"

namespace faultline::sh {

struct Token {
  enum class Kind { Word, Operator, IoNumber, Newline, End };
  Kind kind = Kind::End;
  std::string text;  // of an operator or a number
  Word word;
  size_t begin = 0;  // where it stands in its source
  size_t end = 0;

  bool is_operator(std::string_view name) const { return kind == Kind::Operator && text == name; }
  // The word's text if no character of it is quoted or expanded, else an empty string: only such a
  // word can be a reserved word, a name or a number.
  std::string_view plain_text() const;
};

// Why parsing stopped. The first failure stays; all parsers working on one input share it.
struct ParseFailure {
  bool failed = false;
  bool interrupted = false;  // Ctrl-C: nothing to report
  std::string message;
};

bool is_name(std::string_view text);
bool is_name_character(int c);

class Lexer {
 public:
  // Nested quotations and substitutions deeper than this are refused: both the parser and the
  // executor recurse over them on the stack.
  static constexpr int kMaxDepth = 100;

  Lexer(Source& source, ParseFailure& failure, int depth)
      : source_(source), failure_(failure), depth_(depth) {}

  // The next token; after a failure always Kind::End.
  Token next();
  // Asks for the text of a here-document, which starts at the next line: `target` is filled before the
  // token for the end of this line is given out.
  void expect_here_document(std::shared_ptr<Word> target, std::string delimiter, bool literal,
                            bool strip_tabs);
  // Reads a whole source as the text of a here-document.
  Word lex_here_document_text();

  void fail(std::string message);
  // Counts one more construct around the present text; false, with the failure noted, if it is one too
  // many. The parser and the lexer share the count, as they share the stack.
  bool enter();
  void leave() { depth_--; }

 private:
  enum class Quoting { None, Double, HereDocument };
  struct HereDocument {
    std::shared_ptr<Word> target;
    std::string delimiter;
    bool literal;
    bool strip_tabs;
  };

  int peek() { return source_.peek(); }
  int next_character() { return source_.next(); }
  // False, with the failure noted, if the input ends here.
  bool require_more(const char* inside);

  void skip_blanks_and_comments();
  Token lex_token();
  Token lex_operator();
  void lex_word(Word& word);
  bool lex_word_character(Word& word, Quoting quoting);
  void lex_escape(Word& word, Quoting quoting);
  void lex_single_quoted(Word& word);
  void lex_double_quoted(Word& word);
  void lex_backquoted(Word& word, Quoting quoting);
  void lex_dollar(Word& word, Quoting quoting);
  void lex_braced_parameter(WordPart& part, Quoting quoting);
  void lex_parameter_operator(WordPart& part);
  void lex_command_substitution(WordPart& part);
  void lex_arithmetic(WordPart& part);
  void read_here_documents();

  Source& source_;
  ParseFailure& failure_;
  int depth_;
  std::vector<HereDocument> here_documents_;
};

}  // namespace faultline::sh
