-- @noindex
-- Turns suggested regions ("no vocals 87% ?") into marks: those within the time selection, or all without one.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "?.lua;" .. package.path

local findings = require("ugosa.findings")

local start_s, end_s = reaper.GetSet_LoopTimeRange2(0, false, false, 0, 0, false)
if end_s <= start_s then start_s, end_s = nil, nil end
if findings.accept_suggestions(start_s, end_s) == 0 then
  reaper.MB("There are no suggestions here. 'Suggest marks' in 'UGOSA: Separate with marks' makes some.",
    "UGOSA: Accept suggestions", 0)
end
