--- Regions, ruler lanes, time selection, undo, and what a project keeps for scripts.

local strict = require("spec.stub.strict")

return function(reaper, state)
  local function sorted_regions()
    table.sort(state.regions, function(a, b)
      if a.start_s ~= b.start_s then return a.start_s < b.start_s end
      return a.number < b.number
    end)
    return state.regions
  end

  reaper.EnumProjectMarkers3 = function(project, index)
    strict.project(project, state.project)
    local region = sorted_regions()[index + 1]
    if not region then return 0, false, 0, 0, "", 0, 0 end
    return index + 1, region.is_region, region.start_s, region.end_s, region.name, region.number, region.colour
  end
  reaper.AddProjectMarker2 = function(project, is_region, start_s, end_s, name, wanted, colour)
    strict.project(project, state.project)
    strict.value(name, "string")
    if is_region and end_s <= start_s then error("a region ends after it starts", 2) end
    local number = wanted
    if number < 0 then
      number = 1
      for _, region in ipairs(state.regions) do
        if region.is_region == is_region then number = math.max(number, region.number + 1) end
      end
    end
    table.insert(state.regions, { is_region = is_region, start_s = start_s, end_s = end_s, name = name, number = number,
      colour = strict.value(colour, "number"), lane = 0 })
    state.note_change("region added")
    return number
  end
  reaper.SetProjectMarker3 = function(project, number, is_region, start_s, end_s, name, colour)
    strict.project(project, state.project)
    for _, region in ipairs(state.regions) do
      if region.number == number and region.is_region == is_region then
        region.start_s, region.end_s, region.name, region.colour = start_s, end_s, name, colour
        state.note_change("region changed")
        return true
      end
    end
    return false
  end
  reaper.DeleteProjectMarker = function(project, number, is_region)
    strict.project(project, state.project)
    for index, region in ipairs(state.regions) do
      if region.number == number and region.is_region == is_region then
        table.remove(state.regions, index)
        state.note_change("region deleted")
        return true
      end
    end
    return false
  end
  reaper.ColorToNative = function(red, green, blue) return red | green << 8 | blue << 16 end

  reaper.GetSet_LoopTimeRange2 = function(project, is_set, is_loop)
    strict.project(project, state.project)
    if is_set or is_loop then error("the stub only reads the time selection", 2) end
    return state.time_selection[1], state.time_selection[2]
  end

  -- Undo: what changes outside of a block would be an undo step of its own, or none at all.
  local depth = 0
  state.note_change = function(what)
    if depth == 0 and not state.is_setting_up then table.insert(state.changes_without_undo, what) end
  end
  reaper.Undo_BeginBlock2 = function(project)
    strict.project(project, state.project)
    depth = depth + 1
  end
  reaper.Undo_EndBlock2 = function(project, label, flags)
    strict.project(project, state.project)
    if depth == 0 then error("Undo_EndBlock2 without Undo_BeginBlock2", 2) end
    if flags ~= -1 then error("flags other than -1 record only a part of the project", 2) end
    depth = depth - 1
    if depth == 0 then table.insert(state.undo_steps, label) end
  end
  local refresh = 0
  reaper.PreventUIRefresh = function(step)
    refresh = refresh + step
    state.refresh_is_prevented = refresh ~= 0
  end
  reaper.UpdateArrange = function() end
  reaper.UpdateTimeline = function() end
  reaper.MarkProjectDirty = function(project)
    strict.project(project, state.project)
    state.is_dirty = true
  end

  -- Projects and what they keep
  reaper.EnumProjects = function(index)
    if index ~= -1 then error("the stub has one project", 2) end
    return state.project, state.project_path
  end
  reaper.ValidatePtr2 = function(_, pointer, kind)
    if kind ~= "ReaProject*" then error("the stub validates projects only", 2) end
    return pointer == state.project
  end
  reaper.GetProjectPath = function() return state.media_folder end
  reaper.SetProjExtState = function(project, section, key, value)
    strict.project(project, state.project)
    state.project_ext[section .. "\0" .. key] = strict.value(value, "string") ~= "" and value or nil
    return 1
  end
  reaper.GetProjExtState = function(project, section, key)
    strict.project(project, state.project)
    local value = state.project_ext[section .. "\0" .. key]
    return value and 1 or 0, value or ""
  end
  reaper.GetSetProjectInfo = function(project, name, value, is_set)
    strict.project(project, state.project)
    if state.settings[name] == nil then error("project has no value " .. tostring(name), 2) end
    if is_set then state.settings[name] = strict.value(value, "number") end
    return state.settings[name]
  end
  reaper.GetSetProjectInfo_String = function(project, name, value, is_set)
    strict.project(project, state.project)
    local lane = tonumber(name:match("^RULER_LANE_NAME:(%d+)$"))
    if lane then
      if is_set then error("the stub only reads lane names", 2) end
      return state.lanes[lane] ~= nil, state.lanes[lane] or ""
    end
    if state.setting_strings[name] == nil then error("project has no string " .. tostring(name), 2) end
    if is_set then state.setting_strings[name] = strict.value(value, "string") end
    return true, state.setting_strings[name]
  end

  --- REAPER 7.62 and later.
  state.add_lane_functions = function()
    reaper.GetNumRegionsOrMarkers = function() return #state.regions end
    reaper.GetRegionOrMarker = function(_, index) return sorted_regions()[index + 1] end
    reaper.GetRegionOrMarkerInfo_Value = function(_, region, name)
      if name == "B_ISREGION" then return region.is_region and 1 or 0 end
      if name == "I_NUMBER" then return region.number end
      if name == "I_LANENUMBER" then return region.lane end
      error("region has no value " .. name, 2)
    end
  end
end
