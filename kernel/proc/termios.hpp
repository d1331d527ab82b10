#pragma once
// Terminal settings as programs see them: Linux's struct termios and the ioctl numbers of terminals
// (asm-generic).

#include <array>
#include <cstdint>

namespace faultline {

struct Termios {
  // c_iflag
  static constexpr std::uint32_t kStripBit = 0x20, kNewlineToReturn = 0x40, kIgnoreReturn = 0x80,
                                 kReturnToNewline = 0x100;
  // c_oflag
  static constexpr std::uint32_t kPostProcess = 0x1, kNewlineToReturnNewline = 0x4;
  // c_cflag: 8 bits, receiver on, no modem control, 38400 baud
  static constexpr std::uint32_t kEightBits = 0x30, kReceive = 0x80, kHangUpOnClose = 0x400, kBaud38400 = 0xf;
  // c_lflag
  static constexpr std::uint32_t kSignals = 0x1, kCanonical = 0x2, kEcho = 0x8, kEchoErase = 0x10,
                                 kEchoKill = 0x20, kEchoNewline = 0x40, kNoFlush = 0x80,
                                 kStopBackgroundOutput = 0x100, kEchoControl = 0x200, kEchoKillErases = 0x800,
                                 kExtended = 0x8000;
  // Indices into control_characters.
  enum Index : std::uint8_t {
    Interrupt,
    Quit,
    Erase,
    Kill,
    EndOfFile,
    Time,
    Minimum,
    Switch,
    Start,
    Stop,
    Suspend,
    EndOfLine,
    Reprint,
    Discard,
    WordErase,
    LiteralNext,
    EndOfLine2,
    Count = 19,
  };
  static constexpr unsigned char kDisabled = 0;

  std::uint32_t input = kReturnToNewline;
  std::uint32_t output = kPostProcess | kNewlineToReturnNewline;
  std::uint32_t control = kBaud38400 | kEightBits | kReceive | kHangUpOnClose;
  std::uint32_t local =
      kSignals | kCanonical | kEcho | kEchoErase | kEchoKill | kEchoControl | kEchoKillErases | kExtended;
  std::uint8_t line = 0;
  // ^C ^\ DEL ^U ^D, time 0, minimum 1, -, ^Q ^S ^Z, -, ^R ^O ^W ^V
  std::array<unsigned char, Index::Count> control_characters = {3,  28, 127, 21, 4,  0,  1,  0,
                                                                17, 19, 26,  0,  18, 15, 23, 22};
};
static_assert(sizeof(Termios) == 36);

struct WindowSize {
  std::uint16_t rows = 24, columns = 80;
  std::uint16_t width_pixels = 0, height_pixels = 0;
};

namespace terminal_request {
inline constexpr std::uint32_t kGetSettings = 0x5401, kSetSettings = 0x5402, kSetAfterOutput = 0x5403,
                               kSetAndFlush = 0x5404, kSendBreak = 0x5409, kFlush = 0x540b,
                               kSetControlling = 0x540e, kGetGroup = 0x540f, kSetGroup = 0x5410,
                               kOutputQueued = 0x5411, kGetWindowSize = 0x5413, kSetWindowSize = 0x5414,
                               kInputQueued = 0x541b, kGiveUpControlling = 0x5422, kGetSession = 0x5429;
}

}  // namespace faultline
