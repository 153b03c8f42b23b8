-- @noindex
-- The time selection becomes a region that says: other is active here.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "?.lua;" .. package.path

require("ugosa.mark_selection")("other", "active")
