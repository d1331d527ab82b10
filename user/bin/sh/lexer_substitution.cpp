// The parts of a word that contain words or programs themselves: ${…}, $(…), `…` and $((…)).
#include "user/bin/sh/lexer.hpp"
#include "user/bin/sh/parser.hpp"

namespace faultline::sh {

void Lexer::lex_braced_parameter(WordPart& part, Quoting quoting) {
  if (!enter()) return;
  if (!require_more("${")) return;
  if (peek() == '#') {
    next_character();
    if (peek() == '}') {
      part.text = "#";
    } else {
      part.operation = ParameterOperator::Length;
    }
  }
  if (part.text.empty()) {
    if (peek() >= 0 &&
        std::string_view("?$!@*-#").find(static_cast<char>(peek())) != std::string_view::npos) {
      part.text.push_back(static_cast<char>(next_character()));
    } else {
      while (is_name_character(peek())) part.text.push_back(static_cast<char>(next_character()));
    }
    bool number = part.text.find_first_not_of("0123456789") == std::string::npos && part.text.size() <= 6;
    bool special = part.text.size() == 1 && !is_name_character(part.text[0]);
    if (part.text.empty() || (!is_name(part.text) && !number && !special))
      return fail("bad parameter name in ${");
  }
  if (!require_more("${")) return;
  if (part.operation == ParameterOperator::None && peek() != '}') lex_parameter_operator(part);
  if (part.operation != ParameterOperator::None && part.operation != ParameterOperator::Length) {
    part.operand = std::make_unique<Word>();
    // Quotes around the whole do not quote the pattern in it.
    bool pattern = part.operation >= ParameterOperator::ShortestPrefix;
    if (pattern) quoting = Quoting::None;
    while (require_more("${") && peek() != '}') lex_word_character(*part.operand, quoting);
  }
  if (failure_.failed) return;
  if (next_character() != '}') return fail("bad substitution: expected '}'");
  leave();
}

void Lexer::lex_parameter_operator(WordPart& part) {
  if (peek() == ':') {
    part.colon = true;
    next_character();
  }
  int c = next_character();
  bool doubled = (c == '#' || c == '%') && peek() == c;
  if (doubled) next_character();
  switch (c) {
    case '-':
      part.operation = ParameterOperator::Default;
      break;
    case '=':
      part.operation = ParameterOperator::Assign;
      break;
    case '?':
      part.operation = ParameterOperator::Error;
      break;
    case '+':
      part.operation = ParameterOperator::Alternative;
      break;
    case '#':
      part.operation = doubled ? ParameterOperator::LongestPrefix : ParameterOperator::ShortestPrefix;
      break;
    case '%':
      part.operation = doubled ? ParameterOperator::LongestSuffix : ParameterOperator::ShortestSuffix;
      break;
    default:
      return fail("bad substitution: unknown operator in ${");
  }
  if (part.colon && (c == '#' || c == '%')) fail("bad substitution: unknown operator in ${");
}

void Lexer::lex_command_substitution(WordPart& part) {
  part.kind = WordPart::Kind::Command;
  if (!enter()) return;
  part.program = std::make_shared<List>();
  Parser(source_, failure_, depth_).parse_until_parenthesis(*part.program);
  leave();
}

// Inside backquotes a backslash protects only `$`, a backquote and itself; the rest is a program.
void Lexer::lex_backquoted(Word& word, Quoting quoting) {
  next_character();
  std::string text;
  for (;;) {
    if (!require_more("backquotes")) return;
    int c = next_character();
    if (c == '`') break;
    if (c == '\\' && (peek() == '`' || peek() == '\\' || peek() == '$')) c = next_character();
    text.push_back(static_cast<char>(c));
  }
  if (!enter()) return;
  WordPart part;
  part.kind = WordPart::Kind::Command;
  part.quoted = quoting != Quoting::None;
  part.program = std::make_shared<List>();
  Source inner(std::move(text));
  Parser(inner, failure_, depth_).parse_all(*part.program);
  leave();
  word.parts.push_back(std::move(part));
}

// The expression is a word of its own, expanded as if in double quotes before it is evaluated.
void Lexer::lex_arithmetic(WordPart& part) {
  next_character();
  part.kind = WordPart::Kind::Arithmetic;
  if (!enter()) return;
  part.operand = std::make_unique<Word>();
  int open = 0;
  while (require_more("$((")) {
    int c = peek();
    if (c == ')' && open == 0) break;
    if (c == '(') open++;
    if (c == ')') open--;
    lex_word_character(*part.operand, Quoting::Double);
  }
  if (failure_.failed) return;
  next_character();
  if (!require_more("$((")) return;
  if (next_character() != ')') return fail("expected '))' after an arithmetic expression");
  leave();
}

}  // namespace faultline::sh
