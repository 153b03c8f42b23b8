--- The jobs that a project waits for, kept in the project, so that it finds them again when it is reopened.
-- What a job needs lies in its folder; the project keeps the folder, the job's id and the place of the item.

local json = require("ugosa.json")

local pending = {}

local SECTION, KEY = "UGOSA", "pending_jobs"

--- Return the entries {folder, job_id, place} of the current project.
function pending.list()
  local _, text = reaper.GetProjExtState(0, SECTION, KEY)
  local ok, entries = pcall(json.decode, text)
  return ok and type(entries) == "table" and entries or {}
end

local function keep(entries)
  reaper.SetProjExtState(0, SECTION, KEY, #entries > 0 and json.encode(json.array(entries)) or "")
  reaper.MarkProjectDirty(0) -- so that REAPER asks to save, or the jobs would be forgotten
end

--- Add an entry, or replace the one of the same folder.
function pending.put(entry)
  local entries = {}
  for _, other in ipairs(pending.list()) do
    if other.folder ~= entry.folder then entries[#entries + 1] = other end
  end
  entries[#entries + 1] = entry
  keep(entries)
end

--- Forget the entry of a folder.
function pending.remove(folder)
  local entries = {}
  for _, other in ipairs(pending.list()) do
    if other.folder ~= folder then entries[#entries + 1] = other end
  end
  keep(entries)
end

return pending
